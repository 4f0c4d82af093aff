"""More story frames: work and travel, things that hold or make something, and sums of products."""

from socratic_distill.problems.grade_school_frames import DAYS, Frame, actors, products, timed

PLACES: tuple[Frame, ...] = (
    actors(
        "toy factory",
        "A small factory makes {items}.",
        verb=("made", "made", "did", "make"),
        parts=("the old machine", "the new machine", "the red machine", "the loud machine", "the spare machine"),
        items=("kites", "toy cars", "puzzles", "dolls", "yo-yos"),
        product="{b} {noun} an hour for {a} hours",
        a=(2, 8),
        b=(6, 24),
        amount=(10, 90),
        most=240,
        paths="""
        rest: {Share} of all these {items} had a fault and were thrown away.
            How many {items} had a fault? | In all, {eq} {items} had a fault.
            How many good {items} were left? | There were {eq} good {items} left.
        over 3-12: The good {items} were packed in boxes, with {k} in each box.
            How many boxes of {items} were there? | There were {eq} boxes of {items}.
        times 8-20: A shop bought each of the boxes for ${k}.
            How much money did the shop pay? | The shop paid {usd}.

        goal 30-150: All of these {items} are for a shop that has ordered {k} {items}.
            How many more {items} does the factory have to make? | It has to make {eq} more {items}.
        over 4-24: The missing {items} will be made by a rented machine that makes {k} {items} an hour.
            For how many hours must the rented machine run? | The rented machine must run for {eq} hours.
        times 5-20: It costs ${k} to rent that machine for one hour.
            How much does renting the machine cost? | Renting the machine costs {usd}.
        """,
        asides=("12-60: The factory has {k} workers.", "5-40: The factory was built {k} years ago."),
    ),
    actors(
        "bus trip",
        "All the children of a school went to the science museum by bus.",
        verb=("carried", "carried", "did", "carry"),
        parts=("the red bus", "the blue bus", "the green bus", "the white bus", "the yellow bus"),
        items=("children",),
        product="{a} classes of {b} children each",
        a=(2, 3),
        b=(10, 24),
        amount=(12, 48),
        most=72,
        paths="""
        plus 4-15: There were also {k} teachers, who came by car.
            How many people came to the museum? | In all, {eq} people came to the museum.
        times 3-8: The museum sold tickets to all these people for ${k} each.
            How much did all the tickets cost? | All the tickets cost {usd}.
        rest: The parents' club paid {share} of the cost of all the tickets, and the school paid the rest.
            How much did the parents' club pay? | The parents' club paid {usd}.
            How much did the school pay? | The school paid {usd}.

        over 4-12: In the museum, all of these children were put into groups of {k}.
            How many groups were there? | There were {eq} groups.
        times 2-4: Every group was shown {k} experiments, and no experiment was shown twice.
            How many experiments were shown? | In all, {eq} experiments were shown.
        """,
        asides=("15-60: The drive to the museum took {k} minutes.", "20-90: There are {k} rooms in the museum."),
    ),
    actors(
        "library",
        "The town library has a new bookcase.",
        verb=("holds", "hold", "does", "hold"),
        parts=("the art shelf", "the history shelf", "the science shelf", "the travel shelf", "the poetry shelf"),
        items=("books",),
        product="{a} stacks of {b} books each",
        a=(2, 5),
        b=(4, 12),
        amount=(8, 48),
        most=96,
        paths="""
        minus 4-24: Readers then borrow {k} of all these books.
            How many of these books are left in the bookcase? | There are {eq} books left in the bookcase.
        rest: {Share} of the books that are left are in French, and the rest are in English.
            How many of the books that are left are in French? | There are {eq} French books left.
            How many of the books that are left are in English? | There are {eq} English books left.
        over 3-12: The English books are moved to a new room, {k} at a time.
            How many times does someone have to walk to the new room? | It takes {eq} walks to the new room.

        over 3-12: All of these books are packed in boxes of {k} books.
            How many boxes of books are there? | There are {eq} boxes of books.
        times 5-20: Each box weighs {k} pounds.
            How many pounds do the boxes weigh in all? | In all, the boxes weigh {eq} pounds.
        """,
        asides=("3-20: The library has {k} computers.", "40-95: The bookcase is {k} inches tall."),
    ),
    actors(
        "pool",
        "A swimming pool is empty and is then filled with water.",
        verb=("delivered", "delivered", "did", "deliver"),
        parts=("the first pump", "the second pump", "the third pump", "the fourth pump", "the fifth pump"),
        items=("gallons", "liters"),
        product="{b} {noun} a minute for {a} minutes",
        a=(3, 12),
        b=(5, 25),
        amount=(20, 120),
        most=360,
        paths="""
        minus 10-50: Then {k} {items} ran out through a leak.
            How many {items} stayed in the pool? | There were {eq} {items} left in the pool.
        goal 50-300: After the leak was mended, the pool still had to be filled up. It holds {k} {items}.
            How many more {items} were needed to fill it? | To fill it, {eq} more {items} were needed.
        over 5-30: The missing water then came from a garden hose, at {k} {items} a minute.
            How many minutes did the garden hose run? | The garden hose ran for {eq} minutes.

        goal 50-300: When it is full, the pool holds {k} {items}.
            How many more {items} are needed to fill it? | To fill it, {eq} more {items} are needed.
        over 5-30: The missing water comes from a garden hose, at {k} {items} a minute.
            How many minutes does the garden hose have to run? | The garden hose has to run for {eq} minutes.
        """,
        asides=("4-12: The pool is {k} feet deep.", "20-60: There are {k} chairs around the pool."),
    ),
    timed(
        "deliveries",
        "{who} drives a delivery van.",
        verb=("delivered", "deliver"),
        parts=DAYS,
        items=("packages", "letters", "newspapers"),
        product="{b} {noun} an hour for {a} hours",
        a=(3, 8),
        b=(5, 20),
        amount=(10, 80),
        most=160,
        paths="""
        times 2-4: {She} was paid ${k} for each of these {items}.
            How much money was {who} paid? | {who} was paid {usd}.
        minus_product 10-30: {She} used part of this money to fill the tank {a} times for ${b} each time.
            How much did {who} pay to fill the tank? | {who} paid {usd} to fill the tank.
            How much of the money was left? | There was {usd} left.
        over 2-6: The money that was left was to last for {k} weeks, with the same amount for each week.
            How much money did {who} have for each week? | {who} had {usd} for each week.

        portion: {Share} of all these {items} went to offices.
            How many of the {items} went to offices? | Of the {items}, {eq} went to offices.
        over 2-10: The {items} for offices went to {k} buildings, the same number to each.
            How many of the {items} went to each of these buildings? | Each building got {eq} {items}.
        """,
        asides=("2-15: The van is {k} years old.", "6-30: {She} lives {k} miles from the post office."),
    ),
    timed(
        "piano",
        "{who} is getting ready for a piano concert.",
        verb=("practiced", "practice"),
        parts=("in the first week", "in the second week", "in the third week", "in the fourth week"),
        noun="minutes",
        product="{b} minutes a day for {a} days",
        a=(3, 6),
        b=(10, 40),
        amount=(30, 150),
        most=360,
        paths="""
        goal 30-240: {Her} teacher wants {him} to practice {k} minutes in all before the concert.
            How many more minutes must {who} practice? | {who} must practice {eq} more minutes.
        over 2-10: {She} will practice the missing minutes in {k} equally long lessons.
            How many minutes long will each lesson be? | Each lesson will be {eq} minutes long.

        portion: {Share} of all this time was spent on scales.
            How many minutes did {who} spend on scales? | {who} spent {eq} minutes on scales.
        over 2-9: There were {k} scales to learn, and the same time was spent on each of them.
            How many minutes did {who} spend on each scale? | {who} spent {eq} minutes on each scale.
        """,
        asides=("7-16: {She} is {k} years old.", "40-400: The concert hall has {k} seats."),
    ),
    timed(
        "photos",
        "{who} took photos on a holiday.",
        verb=("took", "take"),
        parts=("at the lake", "at the castle", "in the forest", "at the harbor", "in the old town"),
        items=("photos",),
        ordered=False,
        product="{b} photos an hour for {a} hours",
        a=(2, 6),
        paths="""
        rest: At home, {she} deleted {share} of all these photos.
            How many photos did {who} delete? | {who} deleted {eq} photos.
            How many photos did {who} keep? | {who} kept {eq} photos.
        over 3-9: {She} put the photos that were left in an album, with {k} photos on each page.
            How many pages of the album did {who} fill? | {who} filled {eq} pages of the album.
        minus 2-6: {Her} sister added captions to {k} of these pages.
            How many of these pages had no captions? | There were {eq} pages without captions.

        minus 4-20: {She} deleted {k} of all these photos because they were too dark.
            How many photos did {who} keep? | {who} kept {eq} photos.
        over 2-8: {She} shared the photos that were left in {k} messages, with the same number in each message.
            How many photos did each message have? | Each message had {eq} photos.
        """,
        asides=("3-14: The holiday lasted {k} days.", "100-600: The camera cost ${k}."),
    ),
    timed(
        "dog walking",
        "{who} walks dogs for the neighbors.",
        verb=("earned", "earn"),
        money=True,
        parts=DAYS,
        product="${b} a dog for walking {a} dogs",
        a=(2, 6),
        b=(3, 9),
        amount=(5, 40),
        most=90,
        paths="""
        minus 2-15: {She} spent ${k} of all this money on treats for the dogs.
            How much money did {who} have left? | {who} had {usd} left.
        rest: {She} gave {share} of the money that was left to {her} brother, who had helped.
            How much money did {her} brother get? | {Her} brother got {usd}.
            How much money did {who} keep? | {who} kept {usd}.
        over 3-10: With the money that {she} kept, {she} bought comic books for ${k} each until it was all spent.
            How many comic books did {who} buy? | {who} bought {eq} comic books.

        over 3-12: {She} spent all of this money on cinema tickets for {her} friends. Each ticket cost ${k}.
            How many tickets did {who} buy? | {who} bought {eq} tickets.
        """,
        asides=("10-40: Each walk took {k} minutes.", "2-9: {She} has known the dogs for {k} years."),
    ),
    products(
        "stationery",
        "{who} went to a shop to get supplies for the art club.",
        parts=("notebooks", "paint sets", "brushes", "sketchbooks", "aprons"),
        clause="{She} bought {obj} and paid ${p} for each of the {part}.",
        count=("How many {part} did {who} buy?", "{who} bought {eq} {part}."),
        worth=("How much did the {part} cost?", "The {part} cost {usd}."),
        total=("How much did everything cost?", "Everything cost {usd}."),
        amount=(3, 20),
        most=40,
        price=(2, 9),
        paths="""
        rest %: The shop then took {share} off the whole bill because it was for a school.
            How much money was taken off the bill? | The shop took {usd} off the bill.
            How much did {who} have to pay? | {who} had to pay {usd}.
        goal 5-40: {She} paid with ${k} in cash.
            How much change did {who} get back? | {who} got back {usd}.

        goal 10-90: {She} had brought ${k} from the club.
            How much of the club's money was left? | There was {usd} of the club's money left.
        over 2-6: With all of the money that was left, {she} bought drawing pads that cost ${k} each.
            How many drawing pads did {who} buy? | {who} bought {eq} drawing pads.

        over 2-9: The bill was shared equally by the {k} members of the club.
            How much did each member pay? | Each member paid {usd}.
        """,
        asides=("2-9: The shop is {k} streets from the school.", "8-30: {She} had to wait {k} minutes in line."),
    ),
    products(
        "jobs",
        "{who} was busy last month.",
        parts=("at the library", "at the bakery", "at the zoo", "at the theater", "at the farm"),
        clause="{Part}, {she} worked {obj} and was paid ${p} an hour.",
        noun="hours",
        count=("How many hours did {who} work {part}?", "{who} worked {eq} hours {part}."),
        worth=("How much money did {who} earn {part}?", "{who} earned {usd} {part}."),
        total=("How much money did {who} earn in all?", "{who} earned {usd} in all."),
        amount=(3, 30),
        most=60,
        price=(8, 20),
        paths="""
        rest: {She} had to pay {share} of all the money {she} earned as rent.
            How much was the rent? | The rent was {usd}.
            How much money did {who} have after paying the rent? | After the rent, {who} had {usd}.
        minus 10-90: From the money that was left, {she} spent ${k} on clothes.
            How much money did {who} have left after buying the clothes? | After that, {who} had {usd} left.

        goal 40-300: {She} wants to earn ${k} in all for a used car.
            How much more money does {who} need? | {who} needs {usd} more.
        over 2-12: {She} will earn the same amount in each of the next {k} weeks to get the rest of the money.
            How much will {who} have to earn each week? | {who} will have to earn {usd} each week.
        """,
        asides=("16-40: {She} is {k} years old.", "5-25: {Her} bus pass cost ${k}."),
    ),
    products(
        "road trip",
        "{who} went on a long road trip.",
        parts=("on the first day", "on the second day", "on the third day", "on the fourth day"),
        ordered=True,
        clause="{Part}, {she} drove {obj}, at an average speed of {p} miles an hour.",
        noun="hours",
        count=("How many hours did {who} drive {part}?", "{who} drove {eq} hours {part}."),
        worth=("How many miles did {who} drive {part}?", "{who} drove {eq} miles {part}."),
        total=("How many miles did {who} drive in all?", "{who} drove {eq} miles in all."),
        amount=(2, 6),
        most=9,
        price=(30, 65),
        paths="""
        over 15-40: The car needs one gallon of gas for every {k} miles.
            How many gallons of gas did the car need for the drive? | The car needed {eq} gallons of gas.
        times 2-5: Gas cost ${k} a gallon.
            How much did {who} pay for the gas? | {who} paid {usd} for the gas.
        plus 20-90: {She} also paid ${k} for a room at an inn.
            How much did {who} pay for the gas and the room? | {who} paid {usd} for the gas and the room.

        goal 40-300: The whole route was {k} miles long.
            How many miles were left to drive? | There were {eq} miles left to drive.
        over 20-60: {She} drove the rest of the route at an average speed of {k} miles an hour.
            How many hours did {who} need for the miles that were left? | {who} needed {eq} hours for them.
        """,
        asides=("2-15: The car is {k} years old.", "15-60: {She} listened to {k} songs on the way."),
    ),
    products(
        "tickets",
        "{who} sold tickets for the school play.",
        parts=("adult tickets", "child tickets", "student tickets", "senior tickets"),
        clause="{She} sold {obj} and charged ${p} for each of the {part}.",
        count=("How many {part} did {who} sell?", "{who} sold {eq} {part}."),
        worth=("How much money did the {part} bring in?", "The {part} brought in {usd}."),
        total=("How much money did all the tickets bring in?", "All the tickets brought in {usd}."),
        amount=(5, 60),
        most=120,
        price=(2, 12),
        paths="""
        minus 20-90: From this money, the school paid ${k} for the costumes.
            How much money was left after paying for the costumes? | After that, {usd} was left.
        over 2-8: The money that was left was shared equally by {k} school clubs.
            How much money did each club get? | Each club got {usd}.

        raise %: The mayor liked the play and gave the school an extra {share} of what the tickets brought in.
            How much money did the mayor give? | The mayor gave {usd}.
            How much money did the school have with the mayor's gift? | With it, the school had {usd}.
        minus_product 5-15: From all this money, the school paid for {a} lamps that cost ${b} each.
            How much did the lamps cost? | The lamps cost {usd}.
            How much money was left after paying for the lamps? | After that, {usd} was left.
        """,
        asides=("8-30: There were {k} actors in the play.", "45-120: The play lasted {k} minutes."),
    ),
    products(
        "banquet",
        "{who} is setting up a hall for a banquet.",
        parts=("round tables", "square tables", "long tables", "small tables"),
        clause="{She} put up {obj}, with {p} seats at each of the {part}.",
        count=("How many {part} did {who} put up?", "{who} put up {eq} {part}."),
        worth=("How many seats are there at the {part}?", "There are {eq} seats at the {part}."),
        total=("How many seats are there in all?", "There are {eq} seats in all."),
        amount=(3, 20),
        most=40,
        price=(3, 12),
        paths="""
        rest: {Share} of all the seats are kept for families, and the rest are for members of the choir.
            How many seats are kept for families? | There are {eq} seats for families.
            How many seats are for members of the choir? | There are {eq} seats for the choir.
        minus 4-30: Of the seats for the choir, {k} will stay empty.
            How many members of the choir will have a seat? | In all, {eq} members will have a seat.

        minus 4-30: At the banquet, {k} of all these seats were empty, and a guest sat on each of the others.
            How many guests came to the banquet? | In all, {eq} guests came to the banquet.
        times 8-20: Every guest had paid ${k} to come.
            How much money had the guests paid? | The guests had paid {usd}.
        """,
        asides=("6-40: There are {k} lamps in the hall.", "4-20: The hall has {k} windows."),
    ),
    products(
        "zoo",
        "{who} feeds the animals at a zoo.",
        parts=("elephants", "zebras", "giraffes", "camels", "lions"),
        clause="There are {obj}, and each of the {part} gets {p} pounds of food a day.",
        count=("How many {part} are there?", "There are {eq} {part}."),
        worth=("How many pounds of food do the {part} get a day?", "The {part} get {eq} pounds of food a day."),
        total=(
            "How many pounds of food do all of these animals get a day?",
            "All of these animals get {eq} pounds of food a day.",
        ),
        amount=(2, 12),
        most=24,
        price=(6, 40),
        paths="""
        times 2-7: {who} gets the food ready for {k} days at a time.
            How many pounds of food does {who} get ready at a time? | {who} gets {eq} pounds ready at a time.
        over 10-50: The food comes in bags of {k} pounds.
            How many bags of food does {who} need for this? | {who} needs {eq} bags of food.

        over 10-50: The food comes in bags of {k} pounds.
            How many bags of food does {who} need a day? | {who} needs {eq} bags of food a day.
        times 4-15: One bag of food costs ${k}.
            How much does the food for a day cost? | The food for a day costs {usd}.
        raise %: From next year on, the food will cost {share} more.
            By how much will the cost of a day's food go up? | The cost will go up by {usd}.
            How much will the food for a day cost next year? | Next year, the food for a day will cost {usd}.
        """,
        asides=("30-90: There are {k} kinds of birds at the zoo.", "3-20: {who} has worked at the zoo for {k} years."),
    ),
)
