"""The story frames in which amounts are told part by part and added up."""

from socratic_distill.problems.grade_school_frames import DAYS, MONTHS, Frame, actors, kinds, timed

STORIES: tuple[Frame, ...] = (
    timed(
        "market",
        "{who} sells {items} at a market stall.",
        verb=("sold", "sell"),
        parts=DAYS,
        items=("muffins", "cookies", "scones", "cupcakes", "pretzels"),
        product="{a} boxes of {b} {noun} each",
        paths="""
        times 2-5: Every one of the {items} was sold for ${k}.
            How much money did {who} take in? | {who} took in {usd}.
        minus 10-90: From this money, {she} paid ${k} to rent the stall.
            How much money did {who} have left after paying the rent? | After the rent, {who} had {usd} left.
        rest: {She} saved {share} of the money that was left and spent the rest on baking supplies.
            How much money did {who} save? | {who} saved {usd}.
            How much money did {who} spend on baking supplies? | {who} spent {usd} on baking supplies.

        goal 10-80: {Her} goal is to sell {k} {items} in all.
            How many more {items} must {who} sell to reach the goal? | {who} must still sell {eq} {items}.
        over 2-8: {Her} {k} cousins will sell the {items} that are missing, each of them the same number.
            How many {items} must each cousin sell? | Each cousin must sell {eq} {items}.
        """,
        asides=("8-60: The market has {k} other stalls.", "2-15: {She} has had the stall for {k} years."),
    ),
    kinds(
        "bakery",
        "{who} is baking for the school fair.",
        verb=("baked", "bake"),
        group="pies",
        parts=("apple pies", "cherry pies", "peach pies", "pumpkin pies", "lemon pies"),
        product="{a} batches of {b} {noun} each",
        a=(2, 5),
        b=(3, 10),
        amount=(4, 36),
        most=90,
        paths="""
        rest: The helpers ate {share} of all the pies before the fair.
            How many pies did the helpers eat? | The helpers ate {eq} pies.
            How many pies were left for the fair? | There were {eq} pies left for the fair.
        times 4-8: Each pie that was left was cut into {k} slices.
            How many slices were there? | There were {eq} slices.
        times 2-4: All of the slices were sold at the fair for ${k} each.
            How much money did the slices bring in? | The slices brought in {usd}.

        over 2-9: All of the pies were set out on {k} tables, with the same number on each table.
            How many pies were on each table? | There were {eq} pies on each table.
        times 4-8: Each pie was then cut into {k} slices.
            How many slices of pie were there on each table? | There were {eq} slices on each table.
        """,
        asides=("8-11: The fair begins at {k} o'clock.", "320-400: The oven was set to {k} degrees."),
    ),
    actors(
        "seaside",
        "{all} spent the whole day at the beach looking for {items}.",
        verb=("found", "found", "did", "find"),
        parts=(),
        items=("seashells", "smooth stones", "pieces of sea glass", "crab shells"),
        product="{a} buckets of {b} {noun} each",
        a=(2, 6),
        paths="""
        rest: On the way home, {share} of all the {items} got lost.
            How many {items} got lost? | On the way home, {eq} {items} got lost.
            How many {items} were left? | There were {eq} {items} left.
        over 2-9: The {items} that were left were put into {k} jars, with the same number in each jar.
            How many {items} went into each jar? | Each jar got {eq} {items}.

        over 2-9: All of the {items} were glued onto picture frames, with {k} {items} on each frame.
            How many picture frames were decorated? | In all, {eq} picture frames were decorated.
        times 5-12: Each of these picture frames was sold for ${k}.
            How much money did the picture frames bring in? | The picture frames brought in {usd}.
        minus_product 2-4: The glue was paid from this money: {a} bottles that cost ${b} each.
            How much did the glue cost? | The glue cost {usd}.
            How much money remained after paying for the glue? | After paying for the glue, {usd} remained.
        """,
        asides=("2-14: The beach is {k} miles long.", "12-55: The bus ride to the beach took {k} minutes."),
    ),
    timed(
        "savings",
        "{who} is saving money for a new {items}.",
        verb=("saved", "save"),
        money=True,
        parts=MONTHS,
        items=("bike", "telescope", "guitar", "tent", "camera"),
        product="${b} a week for {a} weeks",
        a=(2, 4),
        b=(4, 20),
        amount=(6, 80),
        paths="""
        goal 20-150: The {items} costs ${k}.
            How much more money does {who} need for the {items}? | {who} needs {usd} more for the {items}.
        over 2-12: {She} will save the same amount every week for {k} weeks to get the missing money.
            How much money must {who} save every week? | {who} must save {usd} every week.

        plus 10-60: Then {her} grandmother gave {him} ${k}.
            How much money did {who} have after the gift? | After the gift, {who} had {usd}.
        rest: {She} spent {share} of all this money on a birthday present for a friend.
            How much did the birthday present cost? | The birthday present cost {usd}.
            How much money did {who} have after buying the present? | After that, {who} had {usd}.
        goal 20-150: The {items} costs ${k}.
            How much more money does {who} need for the {items}? | {who} needs {usd} more for the {items}.
        """,
        asides=("8-15: {She} is {k} years old.", "2-20: The shop is {k} miles away."),
    ),
    timed(
        "reading",
        "{who} is reading a long novel.",
        verb=("read", "read"),
        parts=DAYS,
        items=("pages",),
        product="{b} pages an hour for {a} hours",
        a=(2, 4),
        b=(10, 30),
        amount=(8, 60),
        most=120,
        paths="""
        goal 30-200: The novel has {k} pages.
            How many pages does {who} still have to read? | {who} still has to read {eq} pages.
        over 2-12: {She} will read the remaining pages in {k} days, the same number each day.
            How many pages will {who} read on each of those days? | {who} will read {eq} pages a day.
        times 2-4: Each page takes {him} {k} minutes.
            How many minutes will {who} read on each of those days? | {who} will read {eq} minutes a day.

        times 2-4: Every page took {him} {k} minutes.
            How many minutes did {who} spend reading these pages? | {who} spent {eq} minutes reading.
        minus 15-60: Of this reading time, {k} minutes were on the train, and the rest was at home.
            How many minutes did {who} spend reading at home? | {who} read at home for {eq} minutes.
        """,
        asides=(
            "5-60: {She} has {k} other books on the shelf.",
            "5-40: The author needed {k} months to write the novel.",
        ),
    ),
    timed(
        "ride",
        "{who} is riding a bike to raise money for an animal shelter.",
        verb=("rode", "ride"),
        parts=DAYS,
        items=("miles", "kilometers"),
        product="at {b} {noun} an hour for {a} hours",
        a=(2, 5),
        b=(6, 15),
        amount=(4, 40),
        most=90,
        paths="""
        times 2-5: The neighbors paid the shelter ${k} for each of these {items}.
            How much money did the neighbors pay? | The neighbors paid {usd}.
        plus 20-90: A shop owner gave the shelter another ${k}.
            How much money did the shelter get in all? | The shelter got {usd} in all.
        rest: The shelter used {share} of all its new money for medicine and the rest for food.
            How much money did the shelter use for medicine? | The shelter used {usd} for medicine.
            How much money did the shelter use for food? | The shelter used {usd} for food.

        goal 15-90: {She} has promised to ride {k} {items} in all.
            How many more {items} does {who} have to ride? | {who} has to ride {eq} more {items}.
        over 4-15: On the last part of the route, {she} will ride {k} {items} an hour until the promise is kept.
            How many hours will {who} have to ride? | {who} will have to ride for {eq} hours.
        """,
        asides=("3-24: The bike has {k} gears.", "10-40: The shelter has {k} dogs."),
    ),
    timed(
        "eggs",
        "{who} collects the eggs on a small farm.",
        verb=("collected", "collect"),
        parts=DAYS,
        items=("eggs",),
        product="{a} baskets of {b} eggs each",
        a=(2, 6),
        b=(6, 18),
        amount=(6, 60),
        paths="""
        minus 2-12: Of all these eggs, {k} were used in the kitchen, and the others were kept for the market.
            How many eggs were kept for the market? | For the market, {eq} eggs were kept.
        over 4-12: The eggs for the market were packed in cartons of {k} eggs.
            How many cartons of eggs were there? | There were {eq} cartons of eggs.
        times 2-6: At the market, every carton was sold for ${k}.
            How much money did the eggs bring in? | The eggs brought in {usd}.
        minus_product 2-5: Then {who} bought {a} bags of chicken feed at ${b} each with this money.
            How much did the chicken feed cost? | The chicken feed cost {usd}.
            How much money was left? | There was {usd} left.

        rest: {She} gave {share} of all these eggs to the neighbors.
            How many eggs did {who} give to the neighbors? | {who} gave the neighbors {eq} eggs.
            How many eggs were left? | There were {eq} eggs left.
        over 2-6: {She} needs {k} eggs to bake one cake.
            How many cakes can {who} bake with the eggs that were left? | {who} can bake {eq} cakes.
        """,
        asides=("15-90: There are {k} hens on the farm.", "2-9: The farm also has {k} goats."),
    ),
    kinds(
        "orchard",
        "{who} is helping with the harvest in an orchard.",
        verb=("picked", "pick"),
        group="pieces of fruit",
        parts=("apples", "pears", "peaches", "plums", "apricots"),
        product="{a} baskets of {b} {noun} each",
        b=(5, 20),
        amount=(8, 80),
        paths="""
        rest: {Share} of all this fruit was bruised and was pressed into juice.
            How many pieces of fruit were bruised? | In all, {eq} pieces of fruit were bruised.
            How many pieces of fruit were not bruised? | There were {eq} pieces of fruit without bruises.
        over 4-12: The good fruit was packed in boxes, with {k} pieces in each box.
            How many boxes of good fruit were there? | There were {eq} boxes of good fruit.
        times 3-9: Each box was sold for ${k}.
            How much money did the boxes bring in? | The boxes brought in {usd}.

        over 2-9: All of the fruit was divided equally among {k} families.
            How many pieces of fruit did each family get? | Each family got {eq} pieces of fruit.
        plus 2-9: Each family also got {k} melons.
            How many pieces of fruit did each family get, with the melons? | It got {eq} pieces of fruit.
        """,
        asides=("20-90: The orchard has {k} trees.", "2-8: {She} worked in the orchard for {k} hours."),
    ),
    actors(
        "fundraiser",
        "The animal shelter in town asked for help, and {all} raised money for it.",
        verb=("raised", "raised", "did", "raise"),
        money=True,
        parts=(),
        product="${b} a day for {a} days",
        a=(2, 6),
        b=(5, 20),
        amount=(10, 90),
        paths="""
        plus 20-90: A shop in the same street gave the shelter another ${k}.
            How much money did the shelter get in all? | The shelter got {usd} in all.
        rest: The shelter used {share} of all this money to mend its roof.
            How much money did the roof cost? | The roof cost {usd}.
            How much money was left after mending the roof? | After that, {usd} was left.
        over 3-15: All of the money that was left was spent on blankets that cost ${k} each.
            How many blankets did the shelter buy? | The shelter bought {eq} blankets.

        over 3-15: The shelter spent all of this money on bags of food that cost ${k} each.
            How many bags of food did the shelter buy? | The shelter bought {eq} bags of food.
        times 4-9: Every bag of food feeds {k} cats for a week.
            How many cats can the shelter feed for a week? | The shelter can feed {eq} cats for a week.
        """,
        asides=("12-80: There are {k} animals in the shelter.", "2-9: The shelter was opened {k} years ago."),
    ),
    actors(
        "basketball",
        "In last year's season, {all} played for the Falcons, a basketball team.",
        verb=("scored", "scored", "did", "score"),
        parts=(),
        items=("points",),
        product="{b} points a game for {a} games",
        a=(3, 9),
        b=(4, 15),
        amount=(8, 80),
        paths="""
        plus 20-90: The other players of the Falcons scored {k} points.
            How many points did the Falcons score in all? | The Falcons scored {eq} points in all.
        minus 10-90: The Falcons scored {k} of all their points away from home.
            How many points did the Falcons score at home? | At home, the Falcons scored {eq} points.
        over 2-10: They played {k} games at home.
            How many points did the Falcons score in a home game on average? | They scored {eq} points a home game.

        goal 10-80: The coach's goal for {all} had been {k} points in all.
            How many more points were needed to reach that goal? | For that goal, {eq} more points were needed.
        """,
        asides=(
            "12-40: The coach of the Falcons has been in the sport for {k} years.",
            "80-400: The sports hall has {k} seats.",
        ),
    ),
    kinds(
        "garden",
        "{who} planted a new flower garden behind the town hall.",
        verb=("planted", "plant"),
        group="flowers",
        parts=("tulips", "roses", "daisies", "lilies", "sunflowers"),
        product="{a} rows of {b} {noun} each",
        paths="""
        rest: Rabbits ate {share} of all the flowers.
            How many flowers did the rabbits eat? | The rabbits ate {eq} flowers.
            How many flowers were left? | There were {eq} flowers left.
        over 3-12: All of the flowers that were left were tied into bouquets of {k} flowers.
            How many bouquets were there? | There were {eq} bouquets.
        times 4-12: Each bouquet was sold for ${k}.
            How much money did the bouquets bring in? | The bouquets brought in {usd}.

        times 2-3: Each of the flowers cost ${k}.
            How much did the flowers cost? | The flowers cost {usd}.
        plus_product 10-30: For the same garden, the town bought {a} benches that cost ${b} each.
            How much did the benches cost? | The benches cost {usd}.
            How much did the flowers and the benches cost in all? | In all, they cost {usd}.
        """,
        asides=("12-40: The garden is {k} feet long.", "3-14: {She} has been a gardener for {k} years."),
    ),
    kinds(
        "beads",
        "{who} makes bracelets out of beads.",
        verb=("bought", "buy"),
        group="beads",
        parts=("red beads", "blue beads", "green beads", "yellow beads", "silver beads"),
        product="{a} packs of {b} {noun} each",
        b=(8, 30),
        amount=(10, 90),
        most=240,
        paths="""
        minus 4-20: On the way home, {she} lost {k} of all these beads.
            How many beads did {who} have left? | {who} had {eq} beads left.
        over 5-20: {She} used all the beads that were left for bracelets, {k} beads for each bracelet.
            How many bracelets did {who} make? | {who} made {eq} bracelets.
        times 3-12: {She} sold every bracelet for ${k}.
            How much money did {who} get for the bracelets? | {who} got {usd} for the bracelets.
        minus_product 2-5: From this money, {she} paid for {a} rolls of thread that cost ${b} each.
            How much did the thread cost? | The thread cost {usd}.
            How much money did {who} have left? | {who} had {usd} left.

        over 5-20: {She} used all of these beads for bracelets, {k} beads for each bracelet.
            How many bracelets did {who} make? | {who} made {eq} bracelets.
        rest: {She} gave {share} of the bracelets to friends and kept the others.
            How many bracelets did {who} give to friends? | {who} gave {eq} bracelets to friends.
            How many bracelets did {who} keep? | {who} kept {eq} bracelets.
        """,
        asides=("2-9: It takes {him} {k} minutes to tie a knot.", "3-20: {She} has {k} books about crafts."),
    ),
)
