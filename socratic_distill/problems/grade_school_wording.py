"""The words of a story whose numbers are drawn: its text, its question and its steps."""

from socratic_distill.problems.grade_school_tales import WORDS, Amount, Change, Tale
from socratic_distill.records import Step

Fields = dict[str, str | int]
"""What the placeholders of a frame's templates stand for at the moment."""


def write(tale: Tale) -> tuple[str, list[Step]]:
    """Return the problem's text, which ends in its question, and its steps."""
    frame, fields = tale.frame, _characters(tale)
    told = [frame.opening.format_map(fields)]
    steps: list[Step] = []
    for place, amount in enumerate(tale.amounts):
        _name_part(fields, tale, place)
        fields["obj"] = _told(tale, amount, fields)
        if tale.prices:
            fields["p"] = tale.prices[place]
        told.append(frame.clauses[min(place, len(frame.clauses) - 1)].format_map(fields))
        steps += _amount_steps(tale, place, fields)
    if tale.closing != "last":
        steps.append(_closing_step(tale, fields))
    if tale.aside:
        sentence, fields["k"], where = tale.aside
        told.insert(1 + int(where * len(told)), sentence.format_map(fields))
    value = tale.value
    for change in tale.changes:
        _name_numbers(fields, change)
        told.append(change.event.story.format_map(fields))
        steps += _change_steps(change, value, fields)
        value = change.value
    return f"{' '.join(told)} {steps[-1].subquestion}", steps


def _characters(tale: Tale) -> Fields:
    she, her, him = ("she", "her", "her") if tale.female else ("he", "his", "him")
    several = tale.parts[0] if len(tale.parts) == 1 else f"{', '.join(tale.parts[:-1])} and {tale.parts[-1]}"
    return {
        "who": tale.names[0],
        "she": she,
        "She": she.capitalize(),
        "her": her,
        "Her": her.capitalize(),
        "him": him,
        "items": tale.item,
        "all": several,
        "All": _capital(several),
    }


def _name_part(fields: Fields, tale: Tale, place: int) -> None:
    part = tale.parts[place]
    fields["part"], fields["Part"], fields["noun"] = part, _capital(part), tale.frame.noun or tale.item or part


def _told(tale: Tale, amount: Amount, fields: Fields) -> str:
    """Return the phrase that tells an amount: a number, a product, or a relation to earlier parts."""
    sort, number, frame = amount.sort, amount.number, tale.frame
    if sort == "product":
        fields["a"], fields["b"] = number, amount.other
        return frame.product.format_map(fields)
    if sort == "fact":
        return f"${number}" if frame.money else f"{number} {fields['noun']}"
    other = " and ".join([tale.parts[place] for place in amount.of])
    noun, much, fewer = ("", "much", "less") if frame.money else (f" {fields['noun']}", "many", "fewer")
    dollars = "$" if frame.money else ""
    match sort:
        case "more":
            return f"{dollars}{number} more{noun} than {other}"
        case "fewer":
            return f"{dollars}{number} {fewer}{noun} than {other}"
        case "% more":
            return f"{number}% more{noun} than {other}"
        case "% fewer":
            return f"{number}% {fewer}{noun} than {other}"
        case "times":
            return f"{number} times as {much}{noun} as {other}"
        case "both":
            return f"as {much}{noun} as {other} together"
        case _:
            return f"{sort} as {much}{noun} as {other}"


def _amount_steps(tale: Tale, place: int, fields: Fields) -> list[Step]:
    frame, amount = tale.frame, tale.amounts[place]
    steps: list[Step] = []
    if amount.sort != "fact":
        known = [tale.amounts[other].value for other in amount.of]
        if amount.sort in ("% more", "% fewer"):
            sign = "$" if frame.money else ""
            share = f"{amount.number}% of {sign}{known[0]}"
            mark = _mark(f"{known[0]}*{amount.number}/100", amount.share, sign=sign)
            steps.append(_step(f"How much is {share}?", f"{share} is {mark}.", amount.share))
        _name_result(fields, _expression(amount, known), amount.value)
        steps.append(_step(frame.ask.format_map(fields), frame.tell.format_map(fields), amount.value))
    if tale.prices:
        worth = amount.value * tale.prices[place]
        _name_result(fields, f"{amount.value}*{tale.prices[place]}", worth)
        steps.append(_step(frame.worth[0].format_map(fields), frame.worth[1].format_map(fields), worth))
    return steps


def _expression(amount: Amount, known: list[int]) -> str:
    match amount.sort:
        case "product":
            return f"{amount.number}*{amount.other}"
        case "more":
            return f"{known[0]}+{amount.number}"
        case "fewer":
            return f"{known[0]}-{amount.number}"
        case "% more":
            return f"{known[0]}+{amount.share}"
        case "% fewer":
            return f"{known[0]}-{amount.share}"
        case "twice" | "times":
            return f"{known[0]}*{amount.number}"
        case "both":
            return f"{known[0]}+{known[1]}"
        case _:
            return f"{known[0]}/{amount.number}"


def _closing_step(tale: Tale, fields: Fields) -> Step:
    frame = tale.frame
    values = [amount.value for amount in tale.amounts]
    if tale.closing == "difference":
        high, low = (0, 1) if values[0] > values[1] else (1, 0)
        fields["hi"], fields["lo"], fields["Hi"] = tale.parts[high], tale.parts[low], _capital(tale.parts[high])
        template, expression = frame.more, f"{values[high]}-{values[low]}"
    else:
        if tale.prices:
            values = [value * price for value, price in zip(values, tale.prices, strict=True)]
        template, expression = frame.total, "+".join(map(str, values))
    _name_result(fields, expression, tale.value)
    return _step(template[0].format_map(fields), template[1].format_map(fields), tale.value)


def _name_numbers(fields: Fields, change: Change) -> None:
    fields["k"], fields["a"], fields["b"] = change.number, change.number, change.other
    share = WORDS.get(change.number, f"{change.number}%")
    fields["share"], fields["Share"] = share, _capital(share)


def _change_steps(change: Change, value: int, fields: Fields) -> list[Step]:
    event, number, share = change.event, change.number, change.share
    of_value = f"{value}/{number}" if number in WORDS else f"{value}*{number}/100"
    first = ""
    match event.kind:
        case "minus":
            expression = f"{value}-{number}"
        case "plus":
            expression = f"{value}+{number}"
        case "times":
            expression = f"{value}*{number}"
        case "over":
            expression = f"{value}/{number}"
        case "goal":
            expression = f"{number}-{value}"
        case "portion":
            expression = of_value
        case "rest":
            first, expression = of_value, f"{value}-{share}"
        case "raise":
            first, expression = of_value, f"{value}+{share}"
        case "minus_product":
            first, expression = f"{number}*{change.other}", f"{value}-{share}"
        case "plus_product":
            first, expression = f"{number}*{change.other}", f"{value}+{share}"
    steps: list[Step] = []
    if first:
        _name_result(fields, first, share)
        steps.append(_step(event.before[0].format_map(fields), event.before[1].format_map(fields), share))
    _name_result(fields, expression, change.value)
    steps.append(_step(event.ask.format_map(fields), event.tell.format_map(fields), change.value))
    return steps


def _name_result(fields: Fields, expression: str, value: int) -> None:
    fields["eq"], fields["usd"] = _mark(expression, value), _mark(expression, value, sign="$")


def _mark(expression: str, value: int, *, sign: str = "") -> str:
    return f"{expression} = {sign}<<{expression}={value}>>{value}"


def _step(subquestion: str, solution: str, answer: int) -> Step:
    return Step.model_construct(subquestion=subquestion, solution=solution, answer=str(answer))


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
