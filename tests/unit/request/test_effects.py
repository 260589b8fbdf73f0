"""The operations that change pixels only: their ranges, defaults, faults and size."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgserve.request.faults import RequestInvalid
from imgserve.request.fields import read_struct
from imgserve.request.geometry import Shape, SourceTooSmall
from imgserve.request.imageinfo import ImageInfo, Size
from imgserve.request.operations.blur import Blur
from imgserve.request.operations.convolve import Convolve
from imgserve.request.operations.curve import Curve
from imgserve.request.operations.equalize import Equalize
from imgserve.request.operations.gamma import Gamma
from imgserve.request.operations.grayscale import Grayscale
from imgserve.request.operations.linear import Linear
from imgserve.request.operations.modulate import Modulate
from imgserve.request.operations.negate import Negate
from imgserve.request.operations.noise import Noise
from imgserve.request.operations.normalize import Normalize
from imgserve.request.operations.operation import KeepsSize
from imgserve.request.operations.pixelate import Pixelate
from imgserve.request.operations.saturate import Saturate
from imgserve.request.operations.sharpen import Sharpen
from imgserve.request.operations.threshold import Threshold
from imgserve.request.operations.tint import Tint
from imgserve.request.recipe import Operation
from imgserve.request.rendering import steps_of

# Operation, field, lowest, highest, default (None: it must be given), whether only whole numbers.
RANGES = [
    ("blur", "sigma", 0.3, 250, None, False),
    ("contrast", "factor", 0, 100, None, False),
    ("gamma", "gamma", 0.1, 5, None, False),
    ("linear", "multiply", -1000, 1000, 1, False),
    ("linear", "add", -100_000, 100_000, 0, False),
    ("modulate", "brightness", 0, 100, 1, False),
    ("modulate", "saturation", 0, 100, 1, False),
    ("modulate", "hue", -360, 360, 0, False),
    ("modulate", "lightness", -100, 100, 0, False),
    ("noise", "amount", 1, 510, None, True),
    ("normalize", "lower", 0, 100, 1, False),
    ("normalize", "upper", 0, 100, 99, False),
    ("pixelate", "size", 2, 512, None, True),
    ("saturate", "factor", -100, 100, None, False),
    ("sharpen", "sigma", 0.3, 10, 1, False),
    ("sharpen", "flat", 0, 1000, 1, False),
    ("sharpen", "jagged", 0, 1000, 2, False),
    ("threshold", "value", 0, 255, 128, True),
]
SAMPLES: list[Operation] = [
    Blur(sigma=2.5), Blur(sigma=2.5, radius=4), Convolve(mask=((1, 2, 1),), offset=3),
    Curve(red=((0, 9), (255, 1.5))), Equalize(), Gamma(gamma=2.2),
    Grayscale(), Grayscale(method="luma"), Linear(multiply=(1, 2, 3), add=4), Modulate(hue=20), Negate(),
    Noise(amount=9, seed=4), Normalize(lower=0), Pixelate(size=9), Saturate(factor=2), Sharpen(),
    Threshold(value=9), Tint(color="#c85a14"),
]  # fmt: skip


def read(operation: str, **fields: object) -> Operation:
    found: Operation = msgspec.json.decode(msgspec.json.encode({"operation": operation, **fields}), type=Operation)
    return found


@pytest.mark.parametrize(("operation", "field", "lowest", "highest", "default", "is_whole"), RANGES)
def test_ranges(
    operation: str, field: str, lowest: float, highest: float, default: float | None, is_whole: bool
) -> None:
    value: object
    for value in (lowest, highest):
        assert getattr(read(operation, **{field: value}), field) == value
    beyond = 1 if is_whole else 0.001
    for value in (lowest - beyond, highest + beyond, str(highest), None, True, *([lowest + 0.5] if is_whole else [])):
        with pytest.raises(msgspec.ValidationError, match=f"\\$\\.{field}"):
            read(operation, **{field: value})
    if default is None:
        with pytest.raises(msgspec.ValidationError, match="missing required field"):
            read(operation)
    else:
        assert getattr(read(operation), field) == default


def test_a_blur_may_have_a_radius() -> None:
    assert read("blur", sigma=2) == Blur(sigma=2)
    for radius in (1, 150):
        assert read("blur", sigma=2, radius=radius) == Blur(sigma=2, radius=radius)
    for wrong in (0, 151, 2.5, "3", True):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.radius"):
            read("blur", sigma=2, radius=wrong)


def test_a_seed_has_32_bits() -> None:
    assert read("noise", amount=9) == Noise(amount=9, seed=0)
    assert read("noise", amount=9, seed=2**32 - 1) == Noise(amount=9, seed=2**32 - 1)
    for wrong in (-1, 2**32, 0.5, "1"):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.seed"):
            read("noise", amount=9, seed=wrong)


def test_the_points_of_a_curve() -> None:
    assert read("curve", all=[[0, 255], [127.5, 3]]) == Curve(all=((0, 255), (127.5, 3)))
    wrong: object
    for wrong in ([[0, 0]], [[0, 0], [1]], [[0, 0], [1, 2, 3]], [[0, 0], [256, 0]], [[0, -1], [9, 9]], [0, 0], []):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.green"):
            read("curve", green=wrong)
    assert Curve(red=((0, 0), (1, 0)), blue=((5, 5), (6, 5), (7, 5))).faults() == ()
    assert [fault.sentence() for fault in Curve().faults()] == ["all: a curve needs one of all, red, green or blue"]
    faults = Curve(all=((0, 0), (9, 9), (9, 8), (7, 3)), blue=((1, 0), (0, 0))).faults()
    assert [fault.sentence() for fault in faults] == [
        f"{path}: must lie to the right of the point before" for path in ("all[2]", "all[3]", "blue[1]")
    ]


def test_a_curve_in_json() -> None:
    assert read_struct({"all": [[0, 1], [255, 3]]}, Curve) == Curve(all=((0, 1), (255, 3)))
    with pytest.raises(RequestInvalid, match=r"all\[1\]: expected from 2 to 2 in the list, got 1"):
        read_struct({"all": [[0, 1], [255]]}, Curve)


def test_a_mask_is_a_rectangle_with_a_middle() -> None:
    assert read("convolve", mask=[[0.5]]) == Convolve(mask=((0.5,),), normalize=True, offset=0)
    assert read("convolve", mask=[[1] * 31] * 31, normalize=False) == Convolve(((1,) * 31,) * 31, normalize=False)
    wrong: object
    for wrong in ([], [[]], [1], [["1"]], [[1001]], [[-1001]], [[1] * 32], [[1]] * 32, "1;1"):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.mask"):
            read("convolve", mask=wrong)
    for offset in (-256, 255.1):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.offset"):
            read("convolve", mask=[[1]], offset=offset)

    def sentences(*mask: tuple[float, ...]) -> list[str]:
        return [fault.sentence() for fault in Convolve(mask).faults()]

    assert sentences((1, 2, 1)) == sentences((1,), (2,), (1,)) == []
    assert sentences((1, 2), (1, 2), (3, 4)) == ["mask[0]: expected an odd number of columns, got 2"]
    assert sentences((1,), (2,)) == ["mask: expected an odd number of rows, got 2"]
    assert sentences((1, 2, 1), (1,), (1, 2, 3, 4)) == [
        f"mask[{index}]: expected 3 numbers as in the first row, got {length}" for index, length in ((1, 1), (2, 4))
    ]


def test_a_list_of_linear_is_for_one_or_three_channels() -> None:
    assert read("linear", multiply=[2], add=[1, 2, 3]) == Linear(multiply=(2,), add=(1, 2, 3))
    for numbers in ([], [1, 2, 3, 4], ["1"], [1001]):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.multiply"):
            read("linear", multiply=numbers)
    assert Linear(multiply=(1,), add=(1, 2, 3)).faults() == ()
    faults = Linear(multiply=(1, 2), add=(3, 4)).faults()
    assert [fault.sentence() for fault in faults] == [
        "multiply: expected a number, or a list of one or three, got a list",
        "add: expected a number, or a list of one or three, got a list",
    ]


def test_percentiles_in_order() -> None:
    for lower, upper in ((0, 100), (1, 1.5), (99, 100)):
        assert Normalize(lower=lower, upper=upper).faults() == ()
    for lower, upper in ((50, 50), (99, 1)):
        [fault] = Normalize(lower=lower, upper=upper).faults()
        assert RequestInvalid(fault).beneath((2,)).sentence() == "[2].lower: must be below [2].upper"


def test_a_tint_is_opaque() -> None:
    assert read_struct({"color": "Navy"}, Tint) == Tint(color="#000080")
    with pytest.raises(RequestInvalid, match="color: expected a colour as #rgb, #rrggbb or a basic CSS name"):
        read_struct({"color": "#c85a1480"}, Tint)


@pytest.mark.parametrize("operation", SAMPLES)
def test_json_and_back(operation: Operation) -> None:
    assert msgspec.json.decode(msgspec.json.encode(operation), type=Operation) == operation


@settings(derandomize=True, database=None)
@given(st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=5), st.integers(1, 20_000), st.integers(1, 20_000))
def test_the_size_stays(operations: list[Operation], width: int, height: int) -> None:
    steps = steps_of(operations, ImageInfo("png", width, height))
    assert {step.size for step in steps} == {Size(width, height)}


def test_a_drawing_gets_pixels() -> None:
    for operation in SAMPLES:
        assert isinstance(operation, KeepsSize)
        assert operation.after(Shape(20.4, 10.5, "svg")) == Shape(20, 11)
        assert operation.after(Shape(20, 10, is_open=True)) == Shape(20, 10, is_open=True)
        with pytest.raises(SourceTooSmall):
            operation.after(Shape(0, 0, "svg"))
