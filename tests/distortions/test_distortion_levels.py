"""How distortions are written, and what a protocol says of them."""

from __future__ import annotations

import pytest

from fastclip.distortions import DISTORTIONS
from fastclip.distortions.colour import Contrast, Saturate
from fastclip.distortions.levels import PUBLISHED, distortion_list, parse
from fastclip.distortions.noise import GaussianNoise
from fastclip.errors import UsageError


def test_parameters_and_published_levels() -> None:
    assert parse("gaussian_blur:imagenet-c=3").level == 3
    assert parse("jpeg_compression:quality=25").level == 25
    assert parse("jpeg_compression:cifar-c=5").level == 40
    assert parse("saturate:factor=2") == Saturate(2.0)
    assert parse("saturate:factor=5:shift=0.1") == parse("saturate:imagenet-c=4")
    assert parse("saturate:cifar-c=5") == Saturate(2.5, shift=0.2)


def test_lists_keep_order_name_whole_sets_and_drop_repeats() -> None:
    found = distortion_list(["contrast:factor=0.4, gaussian_noise:sigma=0.1", "contrast:cifar-c"])
    assert found == (
        Contrast(0.4),
        GaussianNoise(0.1),
        *(Contrast(factor) for factor in (0.75, 0.5, 0.3, 0.15)),
    )
    assert distortion_list([]) == ()


@pytest.mark.parametrize("kind", list(DISTORTIONS))
def test_identities_tell_levels_and_definitions_apart(kind: str) -> None:
    texts = [
        f"{kind}:{name}={severity + 1}"
        for name, kinds in PUBLISHED.items()
        for severity in range(len(kinds.get(kind, ())))
    ]
    found = set(map(parse, texts))
    identities = [distortion.identity() for distortion in found]
    assert len({str(identity) for identity in identities}) == len(found)
    for distortion, identity in zip(found, identities, strict=True):
        assert identity["kind"] == kind and identity["level"] == distortion.level
        assert identity["definition"] == distortion.definition
        assert ("seed" in identity) == distortion.random == kind.endswith("_noise")


def test_within_a_published_set_the_level_column_tells_severities_apart() -> None:
    for kinds in PUBLISHED.values():
        for levels in kinds.values():
            first = [level[0] if isinstance(level, tuple) else level for level in levels]
            assert len(set(first)) == len(levels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("saturate:shift=0.1", "saturate:factor=FACTOR[:shift=SHIFT]"),
        ("saturate:factor=1:factor=2", "names no level"),
        ("saturate:factor=1:shift=2", "shift 2 is out of range"),
        ("contrast", "contrast:factor=FACTOR, contrast:cifar-c=SEVERITY, contrast:imagenet-c"),
        ("contrast:imagenet-c=6", "1, 2, 3, 4, 5"),
        ("contrast:imagenet-c=3:factor=1", "names no level"),
        ("jpeg_compression:quality=0", "at least 1 and at most 100"),
        ("jpeg_compression:quality=9.5", "no whole number"),
        ("gaussian_blur:sigma=nan", "out of range"),
        ("brightness:shift=-2", "at least -1"),
        ("fog:imagenet-c=1", "gaussian_noise, "),
    ],
)
def test_mistakes_name_the_choices(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(text)
    assert message in str(error.value)
