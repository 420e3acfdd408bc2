"""The figures of the paper."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from tests.paper.made_up import ITERATIONS, paths, write_run
from tvl_lightning.paper import figures
from tvl_lightning.paper.setups import setup
from tvl_lightning.paper.study import read_study

FASHION = "fashion_mnist"


def panels(figure: Figure) -> dict[str, list[Axes]]:
    found: dict[str, list[Axes]] = {}
    for axes in figure.axes:
        found.setdefault(axes.get_title(), []).append(axes)
    return found


def values(axes: Axes, label: str) -> list[float]:
    [line] = [line for line in axes.lines if line.get_label() == label]
    return np.asarray(line.get_ydata()).tolist()


def test_figure_4_1_compares_learned_and_fixed_tau(world: Path) -> None:
    found = panels(figures.figure_4_1(read_study(world)))
    assert list(found) == [
        "MNIST, the paper",
        "Fashion MNIST, the paper",
        "MNIST, its authors' code",
        "Fashion MNIST, its authors' code",
    ]
    for [axes] in found.values():
        assert [line.get_label() for line in axes.lines] == [
            r"ResNet, learned $\tau$",
            r"ResNet, fixed $\tau$",
            r"Fractional DNN, learned $\tau$",
            r"Fractional DNN, fixed $\tau$",
        ]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")
        assert np.asarray(axes.lines[0].get_xdata()).tolist() == [0, 1, 2, 3, 4]
    [fashion] = found["Fashion MNIST, the paper"]
    assert values(fashion, r"ResNet, fixed $\tau$") == [0.1, 0.5, 0.81, 0.86, 0.88]


@pytest.mark.parametrize("draw", [figures.figure_4_1, figures.figure_4_2, figures.figure_4_4])
def test_the_legend_fits_into_the_figure(world: Path, draw: Callable[..., Figure]) -> None:
    figure = draw(read_study(world))
    FigureCanvasAgg(figure).draw()
    [legend] = figure.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.width


@pytest.mark.parametrize("draw", [figures.figure_4_2, figures.figure_4_3])
def test_figures_4_2_and_4_3_show_accuracy_and_loss_of_the_setups(
    world: Path, draw: Callable[..., Figure]
) -> None:
    found = panels(draw(read_study(world)))
    setups = [*figures.LEARNED.values()]
    for title, pair in found.items():
        accuracy, entropy = pair
        assert (accuracy.get_ylabel(), entropy.get_ylabel()) == ("accuracy", "cross entropy")
        beyond = [] if "authors" in title else [*figures.SIMPLEX.values()]
        assert [line.get_label() for line in accuracy.lines] == setups + beyond
        assert values(entropy, "no regularization") == [0.5] * 5
        assert values(entropy, "time horizon regularization") == [0.75] * 5
    assert len(found) == 4


@pytest.mark.parametrize(
    ("draw", "model", "pruned", "theirs"),
    [
        (figures.figure_4_4, "resnet", False, ["final"]),
        (figures.figure_4_5, "fractional", False, ["learned", "l1", "horizon", "final"]),
        (figures.figure_4_6, "resnet", True, ["learned", "l1", "horizon", "final"]),
    ],
)
def test_figures_of_tau_have_a_panel_for_each_setup_of_each_variant(
    world: Path, draw: Callable[..., Figure], model: str, pruned: bool, theirs: list[str]
) -> None:
    found = panels(draw(read_study(world)))
    paper = list(figures.LEARNED.values())
    beyond = [f"{figures.LEARNED[choice]}, authors' code" for choice in theirs]
    assert sorted(found) == sorted([*paper, *beyond, *figures.SIMPLEX.values()])
    for [axes] in found.values():
        assert axes.get_xscale() == "log"
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration", r"$\tau$")
        assert [line.get_label() for line in axes.lines] == [
            rf"$\tau^{{({layer})}}$" for layer in range(6)
        ]
    [axes] = found[figures.LEARNED["final"]]
    x = np.asarray(axes.lines[5].get_xdata())
    assert (x[0], x[-1]) == (1, ITERATIONS)
    expected = paths(setup(FASHION, model, "final", pruned))[x - 1, 5]
    np.testing.assert_array_equal(values(axes, r"$\tau^{(5)}$"), expected)


def test_the_first_epochs_do_not_set_the_scale(tmp_path: Path) -> None:
    write_run(tmp_path, setup("mnist", "resnet", "learned"), accuracy=[0.1, *[0.9, 0.95] * 20])
    low, high = figures.figure_4_1(read_study(tmp_path)).axes[0].get_ylim()
    assert 0.89 < low < 0.9
    assert 0.95 < high < 0.96


def test_curve_of_a_pruned_layer_ends_where_it_was_pruned(world: Path) -> None:
    [axes] = panels(figures.figure_4_6(read_study(world)))[figures.LEARNED["l1"]]
    ends = []
    for line in axes.lines:
        drawn = np.isfinite(np.asarray(line.get_ydata(), float))
        ends.append(np.asarray(line.get_xdata())[drawn][-1])
    assert ends[0] == ends[5] == ITERATIONS
    assert all(115 < end <= 120 for end in ends[1:5])


def test_curves_of_a_panel_differ_in_style_and_in_grey(world: Path) -> None:
    [axes] = panels(figures.figure_4_5(read_study(world)))["no regularization"]
    assert len({str(line._dash_pattern) for line in axes.lines}) == 6  # type: ignore[attr-defined]
    greys = sorted(
        float(np.dot(line.get_color()[:3], [0.299, 0.587, 0.114]))  # type: ignore[index]
        for line in axes.lines
    )
    assert min(np.diff(greys)) > 0.05


def test_seeds_are_drawn_as_their_mean_and_a_band(tmp_path: Path) -> None:
    shown = setup("mnist", "resnet", "learned")
    write_run(tmp_path, shown, 0, accuracy=[0.1, 0.5])
    write_run(tmp_path, shown, 1, accuracy=[0.2, 0.7])
    axes = figures.figure_4_1(read_study(tmp_path)).axes[0]
    assert values(axes, r"ResNet, learned $\tau$") == pytest.approx([0.15, 0.6])
    [band] = axes.collections
    corners = band.get_paths()[0].vertices
    assert {(0.0, 0.1), (0.0, 0.2), (1.0, 0.5), (1.0, 0.7)} <= {
        (x, y) for x, y in np.round(np.asarray(corners), 6).tolist()
    }


def test_one_seed_has_no_band(world: Path) -> None:
    for axes in figures.figure_4_1(read_study(world)).axes:
        assert not axes.collections


def test_the_command_draws_png_and_svg_and_names_what_is_missing(
    tmp_path: Path, door: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, setup(FASHION, "resnet", "l1", True))
    door("figures", tmp_path)
    said = capsys.readouterr().out
    assert "figure_4_6: no run of fashion_mnist-resnet-learned-pruned-paper" in said
    assert "no run of fashion_mnist-resnet-l1-pruned-paper" not in said
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert drawn == [f"figure_4_{n}.{kind}" for n in range(1, 7) for kind in ("png", "svg")]
    assert "<svg" in (tmp_path / "figures" / "figure_4_6.svg").read_text()
    with Image.open(tmp_path / "figures" / "figure_4_6.png") as image:
        grey = np.asarray(image.convert("L"))
    assert (grey < 128).mean() > 0.002
    assert (grey > 250).mean() > 0.5
