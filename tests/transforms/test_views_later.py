# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest
import torch

from monai_kd.transforms import RandViewsd, render_views

SIZE, LOCAL_SIZE = 96, 48


def film(seed):
    random = np.random.default_rng(seed)
    shapes = cv2.GaussianBlur(random.random((SIZE, SIZE)), (0, 0), 5)
    shapes = cv2.normalize(shapes, None, 15, 235, cv2.NORM_MINMAX)
    pixels = (shapes + random.normal(0, 2, shapes.shape)).clip(0, 255).astype(np.uint8)
    return torch.from_numpy(pixels)[None]


def drawn(films=6, **settings):
    """Return the views made here, and the films and numbers for the same views later."""
    settings = {"spatial_size": SIZE, "local_size": LOCAL_SIZE, "flip": 0.5, **settings}
    here = RandViewsd(**settings).set_random_state(0)
    later = RandViewsd(**settings, render="later").set_random_state(0)
    made = [here({"image": film(seed)}) for seed in range(films)]
    left = [later({"image": film(seed)}) for seed in range(films)]
    views = {name: torch.stack([item[name] for item in made]) for name in made[0]}
    return views, *(torch.stack([item[name] for item in left]) for name in left[0])


def differences(views, others):
    return torch.cat(
        [
            (views[name].float() - others[name].float()).abs().mean((-3, -2, -1)).flatten()
            for name in ("noised", "local")
        ]
    )


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_both_renderers_agree_to_a_gray_level_in_every_view(interpolation):
    here, original, draws = drawn(films=12, interpolation=interpolation)
    later = render_views(original, draws, local_size=LOCAL_SIZE, interpolation=interpolation)
    assert {name: (view.shape, view.dtype) for name, view in later.items()} == {
        name: (view.shape, view.dtype) for name, view in here.items()
    }
    assert torch.equal(later["original"], here["original"])
    found = differences(here, later)
    assert found.max() < 1
    assert found.median() < 0.2


def test_a_film_has_the_same_views_in_every_batch():
    _, original, draws = drawn()
    together = render_views(original, draws, local_size=LOCAL_SIZE)
    alone = render_views(original[2:3], draws[2:3], local_size=LOCAL_SIZE)
    assert differences({k: v[2:3] for k, v in together.items()}, alone).max() < 0.01


def test_local_views_are_left_out_when_none_were_drawn():
    _, original, draws = drawn(local_views=0)
    assert sorted(render_views(original, draws, local_size=LOCAL_SIZE)) == ["noised", "original"]


def test_reduced_precision_around_it_changes_nothing():
    _, original, draws = drawn()
    plain = render_views(original, draws, local_size=LOCAL_SIZE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        reduced = render_views(original, draws, local_size=LOCAL_SIZE)
    assert all(torch.equal(plain[name], reduced[name]) for name in plain)


def test_black_films_pass_through():
    _, original, draws = drawn()
    views = render_views(torch.zeros_like(original), draws, local_size=LOCAL_SIZE)
    assert not any(view.any() for view in views.values())


def test_what_does_not_fit_together_is_refused():
    _, original, draws = drawn(films=2)
    with pytest.raises(TypeError, match=r"`original` must be uint8, got torch\.float32"):
        render_views(original.float(), draws, local_size=LOCAL_SIZE)
    with pytest.raises(ValueError, match=r"`original` must have the shape \(B, 1, S, S\), got"):
        render_views(original[..., :50], draws, local_size=LOCAL_SIZE)
    with pytest.raises(
        ValueError, match=r"`draws` must have the shape \(2, 1 \+ V, 9\), got \(1, 9"
    ):
        render_views(original, draws[:1], local_size=LOCAL_SIZE)
    with pytest.raises(ValueError, match="interpolation"):
        render_views(original, draws, local_size=LOCAL_SIZE, interpolation="nearest")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_an_accelerator_makes_the_same_views_and_nothing_waits_for_it(interpolation):
    _, original, draws = drawn(interpolation=interpolation)
    settings = {"local_size": LOCAL_SIZE, "interpolation": interpolation}
    expected = render_views(original, draws, **settings)
    on_device = (original.cuda(), draws.cuda())
    render_views(*on_device, **settings)
    torch.cuda.set_sync_debug_mode("error")
    try:
        views = render_views(*on_device, **settings)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert differences(expected, {name: view.cpu() for name, view in views.items()}).max() < 0.2
