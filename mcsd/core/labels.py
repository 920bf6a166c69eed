"""SELinux levels as category sets, and the contexts that carry them.

A level is a sensitivity and a set of categories. What isolates two holders is not that their strings
differ but that neither set contains the other: `Level.dominates` is the kernel's `dom`. Two spellings
of one set (`s0:c2,c1`, `s0:c1.c2`) are one `Level`. What the kernel's `mls_context_to_sid()` would reject
(`c01`, `c3.c3`) is rejected here as well. `str()` returns the kernel's canonical spelling (runs of three or
more joined by a dot, as `mls_sid_to_context()` in security/selinux/ss/mls.c prints).

Values are only made by the parsers, so they are valid by construction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mcsd.errors import LabelSyntaxError

CATEGORY_COUNT = 1024
"""Categories an MCS policy declares: `c0` to `c1023`."""

_MASK_BYTES = CATEGORY_COUNT // 8

_NUMBER = r"(?:0|[1-9]\d{0,3})"  # the policy's names have no leading zeros: the kernel knows no `c01`
_LEVEL = re.compile(rf"s({_NUMBER})(?::(c{_NUMBER}(?:[.,]c{_NUMBER})*))?", re.ASCII)
_RUN = re.compile(r"c(\d+)(?:\.c(\d+))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


def category_mask(categories: Iterable[int]) -> int:
    """Return the bit mask of some category numbers; each must be in `0 … CATEGORY_COUNT - 1`."""
    mask = 0
    for category in categories:
        if not 0 <= category < CATEGORY_COUNT:
            raise LabelSyntaxError(f"category c{category} is not between c0 and c{CATEGORY_COUNT - 1}")
        mask |= 1 << category
    return mask


def category_numbers(mask: int) -> tuple[int, ...]:
    """List the category numbers of a bit mask in ascending order, in time linear in their number."""
    numbers = []
    while mask:
        lowest = mask & -mask
        numbers.append(lowest.bit_length() - 1)
        mask ^= lowest
    return tuple(numbers)


def _parse_categories(text: str, *, whole: str) -> int:
    mask = 0
    for part in text.split(","):
        run = _RUN.fullmatch(part)
        if run is None:  # for instance c0.c3.c5
            raise LabelSyntaxError(
                f"{part!r} in the level {whole!r} is not a category or a run of categories"
            )
        low, high = int(run[1]), int(run[2] or run[1])
        if run[2] and low >= high:
            raise LabelSyntaxError(f"the run {part!r} in the level {whole!r} does not rise")
        if high >= CATEGORY_COUNT:
            raise LabelSyntaxError(f"the level {whole!r} has categories above c{CATEGORY_COUNT - 1}")
        mask |= (1 << (high + 1)) - (1 << low)
    return mask


def _runs(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    low = high = next(numbers)
    for number in numbers:
        if number != high + 1:
            yield low, high
            low = number
        high = number
    yield low, high


@dataclass(frozen=True, slots=True)
class Level:
    """One MLS/MCS level. `categories` is a bit mask: bit *n* stands for category `cN`."""

    sensitivity: int
    categories: int

    def __post_init__(self) -> None:
        if self.sensitivity < 0 or self.categories < 0 or self.categories >> CATEGORY_COUNT:
            raise LabelSyntaxError(
                f"sensitivity {self.sensitivity} with the category mask {self.categories:#x} is not a level"
            )

    @classmethod
    def parse(cls, text: str) -> Level:
        """Read `s0`, `s0:c1,c2`, `s0:c0.c3,c9`; raise `LabelSyntaxError` for anything else."""
        match = _LEVEL.fullmatch(text)
        if match is None:
            raise LabelSyntaxError(f"{text!r} is not an SELinux level", hint="a level looks like s0:c12,c900")
        return cls(int(match[1]), _parse_categories(match[2], whole=text) if match[2] else 0)

    @classmethod
    def of(cls, *categories: int) -> Level:
        """Build the level of sensitivity `s0` with these categories."""
        return cls(0, category_mask(categories))

    def __str__(self) -> str:
        if not self.categories:
            return f"s{self.sensitivity}"
        parts = (
            f"c{low}" if low == high else f"c{low},c{high}" if high == low + 1 else f"c{low}.c{high}"
            for low, high in _runs(iter(self.numbers()))
        )
        return f"s{self.sensitivity}:" + ",".join(parts)

    def numbers(self) -> tuple[int, ...]:
        """List the category numbers in ascending order."""
        return category_numbers(self.categories)

    def __len__(self) -> int:
        return self.categories.bit_count()

    def __hash__(self) -> int:
        # Python hashes integers modulo 2**61 - 1, where 2**n is 2**(n % 61): all pairs of 1024 categories
        # would share some 1,900 hashes, and every set of levels would be a list.
        return hash((self.sensitivity, self.categories.to_bytes(_MASK_BYTES, "little")))

    def dominates(self, other: Level) -> bool:
        """Tell whether a subject at this level may read an object at `other` (the kernel's `dom`)."""
        return self.sensitivity >= other.sensitivity and not other.categories & ~self.categories

    def is_comparable_to(self, other: Level) -> bool:
        """Tell whether either level dominates the other: then they do not isolate their holders."""
        return self.dominates(other) or other.dominates(self)

    def union(self, other: Level) -> Level:
        """Return the least level that dominates both."""
        return Level(max(self.sensitivity, other.sensitivity), self.categories | other.categories)


@dataclass(frozen=True, slots=True, order=True)
class CategoryPair:
    """Two distinct categories, low first: what an engine gives a container."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high < CATEGORY_COUNT:
            raise LabelSyntaxError(
                f"c{self.low},c{self.high} is not a pair of distinct categories, low first"
            )

    @classmethod
    def parse(cls, text: str) -> CategoryPair:
        """Read `c12,c900` in either order; raise `LabelSyntaxError` for anything else."""
        level = Level.parse(f"s0:{text}")
        if len(level) != 2:
            raise LabelSyntaxError(f"{text!r} is not a pair of categories", hint="a pair looks like c12,c900")
        return cls(*level.numbers())

    @classmethod
    def from_level(cls, level: Level) -> CategoryPair | None:
        """Return the pair that a level consists of, or None if it does not have exactly two categories."""
        return cls(*level.numbers()) if len(level) == 2 and level.sensitivity == 0 else None

    def __str__(self) -> str:
        return f"c{self.low},c{self.high}"

    @property
    def level(self) -> Level:
        """The level `s0:cLOW,cHIGH`."""
        return Level.of(self.low, self.high)


@dataclass(frozen=True, slots=True)
class LevelRange:
    """A range of levels, `low` and `high` equal for a single level; `high` dominates `low`."""

    low: Level
    high: Level

    def __post_init__(self) -> None:
        if not self.high.dominates(self.low):
            raise LabelSyntaxError(f"the range {self.low}-{self.high} ends below its beginning")

    @classmethod
    def parse(cls, text: str) -> LevelRange:
        """Read `LEVEL` or `LEVEL-LEVEL`; raise `LabelSyntaxError` for anything else."""
        low, dash, high = text.partition("-")
        level = Level.parse(low)
        return cls(level, Level.parse(high) if dash else level)

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


@dataclass(frozen=True, slots=True)
class Context:
    """An SELinux security context of a policy with levels (MLS or MCS)."""

    user: str
    role: str
    type: str
    range: LevelRange

    @classmethod
    def parse(cls, text: str) -> Context:
        """Read `user:role:type:range`; raise `LabelSyntaxError`, also for a context without levels."""
        parts = text.split(":", 3)
        if len(parts) != 4:
            raise LabelSyntaxError(
                f"{text!r} is not an SELinux context with a level",
                hint="a context looks like system_u:object_r:container_file_t:s0:c12,c900",
            )
        user, role, kind, levels = parts
        for name in (user, role, kind):
            if _NAME.fullmatch(name) is None:
                raise LabelSyntaxError(f"{name!r} in {text!r} is not an SELinux identifier")
        return cls(user, role, kind, LevelRange.parse(levels))

    def __str__(self) -> str:
        return f"{self.user}:{self.role}:{self.type}:{self.range}"

    @property
    def level(self) -> Level:
        """The high level, which the kernel's MCS constraints compare (`h1 dom h2`)."""
        return self.range.high

    def at(self, level: Level) -> Context:
        """Return the same context at a single level."""
        return replace(self, range=LevelRange(level, level))


@dataclass(frozen=True, slots=True)
class UnreadableLabel:
    """A label that is no `Context`: its text as it was found, and why and how it should be read otherwise.

    The engine passes on what its users wrote, and the kernel's own tasks and policies without levels have
    labels of other forms. They are shown, and nothing is decided by them.
    """

    text: str
    reason: str
    hint: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def type(self) -> str:
        """The type, which a context without a level has as well; "" if the text is no context at all."""
        parts = self.text.split(":", 3)
        return parts[2] if len(parts) > 2 else ""


Label = Context | UnreadableLabel
"""A label of somebody else's, read where it came in."""


def read_label(text: str) -> Label:
    """Read a label of somebody else's, which may be anything."""
    try:
        return Context.parse(text)
    except LabelSyntaxError as exc:
        return UnreadableLabel(text, exc.what, exc.hint)


def label_in(text: str | None) -> Label | None:
    """Read a label of somebody else's that need not be there; None if there is none."""
    return read_label(text) if text else None


def readable(label: Label) -> Context:
    """Return the context that a label is; raise `LabelSyntaxError` if it cannot be read."""
    if isinstance(label, Context):
        return label
    raise LabelSyntaxError(label.reason, hint=label.hint)


def level_of(label: Label | None) -> Level | None:
    """Return the level of a label, None if there is none."""
    return label.level if isinstance(label, Context) else None


def level_in(text: str | None) -> Level | None:
    """Return the level in a file's label; None if there is none."""
    return level_of(label_in(text))
