# SPDX-License-Identifier: Apache-2.0
import pickle

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter, ImageOps
from torch.utils.data import DataLoader

from monai_kd.data import CachedDataset, EpochSampler, collate_items
from monai_kd.transforms import RandViewsd, views_to_float
from monai_kd.transforms.views_draw import LOCAL, NOISED, draw_views
from monai_kd.transforms.views_here import render_film

SIZE, LOCAL_SIZE = 96, 48


def film(seed=0, size=SIZE):
    """Return soft shapes with a little grain, as films have, uint8."""
    random = np.random.default_rng(seed)
    shapes = cv2.GaussianBlur(random.random((size, size)), (0, 0), 5)
    shapes = cv2.normalize(shapes, None, 15, 235, cv2.NORM_MINMAX)
    return (shapes + random.normal(0, 2, shapes.shape)).clip(0, 255).astype(np.uint8)


def image(seed=0):
    return torch.from_numpy(film(seed).astype(np.float32) / 255)[None]


def views_of(seed=0, **settings):
    return RandViewsd(
        **{"spatial_size": SIZE, "local_size": LOCAL_SIZE, **settings}
    ).set_random_state(seed)


def draw(**numbers):
    """Return the numbers of a view that is the whole film, changed as told."""
    left, top, extent = numbers.pop("box", (0, 0, SIZE))
    names = ("flip", "radians", "autocontrast", "equalize", "radius")
    row = [left, top, extent, extent, *(numbers.pop(name, 0) for name in names)]
    assert not numbers
    return np.array([row], dtype=np.float32)


def noised(draws, **settings):
    return render_film(film(), draws, local_size=LOCAL_SIZE, **settings)["noised"][0].numpy()


def pillow(pixels, numbers, size):
    left, top, width, height, flip, radians, autocontrast, equalize, radius = numbers.tolist()
    view = Image.fromarray(pixels).crop((left, top, left + width, top + height))
    view = view.resize((size, size), Image.Resampling.BICUBIC)
    view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else view
    view = view.rotate(np.rad2deg(radians), Image.Resampling.NEAREST)
    view = ImageOps.autocontrast(view) if autocontrast else view
    view = ImageOps.equalize(view) if equalize else view
    return np.asarray(view.filter(ImageFilter.GaussianBlur(radius)) if radius else view)


def test_an_item_gets_its_views_in_8_bits_instead_of_the_film():
    item = {"image": image(), "label": torch.tensor([1.0])}
    out = views_of()(item)
    assert sorted(out) == ["label", "local", "noised", "original"]
    assert out["original"].shape == out["noised"].shape == (1, SIZE, SIZE)
    assert out["local"].shape == (8, 1, LOCAL_SIZE, LOCAL_SIZE)
    assert {out[name].dtype for name in ("original", "noised", "local")} == {torch.uint8}
    assert torch.equal(out["original"][0], torch.from_numpy(film()))
    assert sorted(item) == ["image", "label"], "the item given is left alone"
    assert torch.equal(item["image"], image())


def test_a_film_in_8_bits_gives_the_same_views_and_shares_no_memory():
    whole = torch.from_numpy(film())[None]
    out, expected = views_of()({"image": whole}), views_of()({"image": image()})
    assert all(torch.equal(out[name], expected[name]) for name in expected)
    out["original"].zero_()
    assert whole.any()


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("size", "local_size"), [(SIZE, LOCAL_SIZE), (256, 128)])
def test_views_differ_from_pillows_by_less_than_a_gray_level(interpolation, size, local_size):
    random, found = np.random.RandomState(0), []
    for seed in range(8):
        pixels = film(seed, size)
        draws = draw_views(random, size, (NOISED, *(LOCAL,) * 8), flip=0.5)
        views = render_film(pixels, draws, local_size=local_size, interpolation=interpolation)
        for numbers, view in zip(draws, [views["noised"], *views["local"]], strict=True):
            theirs = pillow(pixels, numbers, view.shape[-1]).astype(float)
            found.append(np.abs(view[0].numpy() - theirs).mean())
    assert np.median(found) < 1
    assert max(found) < 5  # an operation left out or in another order: tens


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_mirror_quarter_turn_and_crop_move_pixels_and_change_none(interpolation):
    def view(**numbers):
        return noised(draw(**numbers), interpolation=interpolation)

    np.testing.assert_array_equal(view(), film())
    np.testing.assert_array_equal(view(flip=1), film()[:, ::-1])
    np.testing.assert_array_equal(view(radians=np.pi / 2), np.rot90(film()))
    np.testing.assert_array_equal(
        view(flip=1, radians=np.pi / 2), np.rot90(film()[:, ::-1]), "mirrored first, then turned"
    )
    crop = np.concatenate([draw(), draw(box=(7, 30, LOCAL_SIZE))])
    local = render_film(film(), crop, local_size=LOCAL_SIZE, interpolation=interpolation)["local"]
    np.testing.assert_array_equal(local[0, 0], film()[30:, 7:][:LOCAL_SIZE, :LOCAL_SIZE])


def test_what_a_rotation_brings_in_is_black_though_the_film_goes_on_there():
    white = np.full((SIZE, SIZE), 255, np.uint8)
    numbers = draw(box=(20, 20, 50), radians=np.deg2rad(15))
    view = render_film(white, numbers, local_size=LOCAL_SIZE)["noised"][0].numpy()
    theirs = pillow(white, numbers[0], SIZE)
    assert view[0, 0] == view[-1, -1] == 0
    assert (view != theirs).mean() < 0.005


@pytest.mark.parametrize("change", [{"autocontrast": 1}, {"equalize": 1}])
def test_gray_levels_of_the_view_as_it_was_cut_are_stretched_as_pillow_does(change):
    both = draw(autocontrast=1, equalize=1)
    np.testing.assert_array_equal(noised(draw(**change)), pillow(film(), draw(**change)[0], SIZE))
    np.testing.assert_array_equal(noised(both), pillow(film(), both[0], SIZE))


@pytest.mark.parametrize("radius", [0.1, 0.7, 2.0])
def test_blur_is_a_gaussian_of_this_standard_deviation(radius):
    dot = np.zeros((41, 41), np.uint8)
    dot[20, 20] = 255
    numbers = draw(box=(0, 0, 41), radius=radius)
    view = render_film(dot, numbers, local_size=8)["noised"][0].numpy()
    offset = np.arange(-20, 21)
    bell = np.exp(-(offset**2) / (2 * radius**2))
    expected = 255 * np.outer(bell, bell) / bell.sum() ** 2
    assert np.abs(view - expected).max() < 1.5


def test_a_black_film_passes_through():
    out = views_of(3)({"image": torch.zeros(1, SIZE, SIZE)})
    assert not any(out[name].any() for name in ("original", "noised", "local"))


def test_no_local_views_when_none_are_asked_for():
    out = views_of(local_views=0)({"image": image()})
    assert sorted(out) == ["noised", "original"]
    assert views_of(local_views=0, render="later")({"image": image()})["view_draws"].shape == (1, 9)


def test_later_hands_over_the_film_and_the_numbers_that_here_would_use():
    out = views_of(4, render="later")({"image": image()})
    assert sorted(out) == ["original", "view_draws"]
    assert out["view_draws"].dtype == torch.float32
    rendered = render_film(
        out["original"][0].numpy(), out["view_draws"].numpy(), local_size=LOCAL_SIZE
    )
    here = views_of(4)({"image": image()})
    assert torch.equal(rendered["noised"], here["noised"])
    assert torch.equal(rendered["local"], here["local"])


def test_fewer_local_views_do_not_change_those_before_them():
    few, many = views_of(6, local_views=2), views_of(6, local_views=5)
    few, many = few({"image": image()}), many({"image": image()})
    assert torch.equal(few["noised"], many["noised"])
    assert torch.equal(few["local"], many["local"][:2])


def dataset():
    return CachedDataset(
        [{"seed": seed} for seed in range(6)],
        prepare=lambda item: {"image": image(item["seed"])},
        augment=views_of(flip=0.5),
        seed=11,
    )


def test_views_depend_on_seed_epoch_and_film_only():
    data = dataset()
    forward = [data[2, number] for number in range(6)]
    data[0, 3]
    for number in reversed(range(6)):
        again = data[2, number]
        assert all(torch.equal(again[k], forward[number][k]) for k in ("noised", "local"))
    assert not torch.equal(data[3, 0]["noised"], forward[0]["noised"])
    assert torch.equal(data[3, 0]["original"], forward[0]["original"])


def test_views_are_the_same_in_workers_and_make_a_batch():
    def batches(workers):
        data = dataset()
        sampler = EpochSampler(len(data), shuffle=True, seed=1)
        return list(
            DataLoader(
                data, sampler=sampler, batch_size=3, num_workers=workers, collate_fn=collate_items
            )
        )

    for one, two in zip(batches(0), batches(2), strict=True):
        assert one["local"].shape == (3, 8, 1, LOCAL_SIZE, LOCAL_SIZE)
        for name in ("original", "noised", "local"):
            assert torch.equal(one[name], two[name])


def test_it_can_be_sent_to_a_spawned_worker():
    sent = pickle.loads(pickle.dumps(views_of(8)))
    assert torch.equal(sent({"image": image()})["local"], views_of(8)({"image": image()})["local"])


@pytest.mark.parametrize("shape", [(1, 96, 64), (3, 96, 96), (96, 96), (1, 64, 64)])
def test_a_film_of_another_shape_is_refused(shape):
    with pytest.raises(
        ValueError, match=r"`image` must have the shape \(1, 96, 96\), got .*square"
    ):
        views_of()({"image": torch.zeros(shape)})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spatial_size": (96, 64)}, "`spatial_size` must be one number above 0 or two equal"),
        ({"local_size": 0}, "`local_size` must be one number above 0 or two equal ones, got 0"),
        ({"local_views": -1}, "`local_views` must be at least 0, got -1"),
        ({"flip": 1.5}, r"`flip` must be in \[0, 1\], got 1.5"),
        ({"interpolation": "nearest"}, "interpolation"),
        ({"render": "never"}, "render"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        views_of(**settings)


def test_sizes_may_be_given_as_a_pair():
    assert views_of(spatial_size=[96, 96]).spatial_size == 96


def test_views_become_floats_of_the_same_names_and_shapes():
    views = {"noised": torch.tensor([[0, 51, 255]], dtype=torch.uint8)}
    out = views_to_float(views)
    assert out["noised"].dtype == torch.float32
    torch.testing.assert_close(out["noised"], torch.tensor([[0.0, 0.2, 1.0]]))
    out = views_to_float(views, subtrahend=0.5, divisor=0.25)
    torch.testing.assert_close(out["noised"], torch.tensor([[-2.0, -1.2, 2.0]]))


def test_floats_are_not_divided_twice():
    with pytest.raises(TypeError, match=r"`noised` must be uint8, got torch\.float32"):
        views_to_float({"noised": torch.rand(2)})
    with pytest.raises(ValueError, match="`divisor` must be above 0, got 0"):
        views_to_float({}, divisor=0)
