"""What the documents say a program prints, against what it prints."""

import re

NUMBER = re.compile(r"-?\d+\.\d+")
STEPS = re.compile(r"\bin \d+ steps\b")  # until an optimiser stops: it depends on the processor's rounding
TOLERANCE = 0.02  # another version of torch, other kernels; one in the last place, where only one is shown


def check_shown(shown: str, printed: str) -> None:
    """Every line that is shown was printed, in this order; fractions may differ a little, spaces do not count."""
    lines = iter(printed.splitlines())
    for expected in filter(str.strip, shown.splitlines()):
        assert any(alike(expected, line) for line in lines), f"not printed: {expected!r}\nprinted:\n{printed}"


def alike(expected: str, line: str) -> bool:
    expected, line = (STEPS.sub("in some steps", text) for text in (expected, line))
    words, numbers = NUMBER.sub("#", expected).split(), NUMBER.findall(expected)
    others, values = NUMBER.sub("#", line).split(), NUMBER.findall(line)
    return words == others and all(map(near, numbers, values))


def near(a: str, b: str) -> bool:
    return abs(float(a) - float(b)) <= max(TOLERANCE, 1.01 * 10 ** -len(a.partition(".")[2]))
