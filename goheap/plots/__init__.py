"""Pictures of what a heap or a replay says, with matplotlib (extra ``plot``).

One plot is one module with ``draw(data, ax=None)``, which returns the axes; ``PLOTS`` names
them all, ``register`` adds one of your own. Results have ``.plot()``, which draws the plot
that fits, or the one that is named.
"""
from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PLOTS", "Plot", "draw", "register"]


class Plot(NamedTuple):
    """A plot of the registry."""

    name: str
    title: str
    needs: str  # what draw takes
    info: str  # what is shown, by the names of the figures
    draw: Callable[..., Axes]


_MODULES = ("heap", "pauses", "pacer", "fragmentation", "size_classes", "pages", "page_history",
            "lifetimes", "settings_map", "pareto",
            "predicted")


def _builtin(name: str) -> Plot:
    m: Any = importlib.import_module(f"{__name__}.{name}")
    return Plot(name, m.TITLE, m.NEEDS, m.INFO, m.draw)


_plots = {name: _builtin(name) for name in _MODULES}
PLOTS: Mapping[str, Plot] = MappingProxyType(_plots)


def register(plot: Plot, /) -> None:
    """Add a plot of your own; ValueError if its name is taken."""
    if not isinstance(plot, Plot):
        raise TypeError(f"register: a Plot is needed, not {type(plot).__name__!r}")
    if plot.name in _plots:
        raise ValueError(f"register: there is a plot {plot.name!r} already")
    _plots[plot.name] = plot


def draw(name: str, data: Any, ax: Axes | None = None, **options: Any) -> Axes:
    """Draw the plot of that name into ax, or into a new figure; options are the plot's own."""
    if not isinstance(name, str):
        raise TypeError(f"plots: the name of a plot is a str, not {type(name).__name__!r}")
    if name not in _plots:
        raise ValueError(f"plots: no plot {name!r}; there are {', '.join(_plots)}")
    if ax is not None and not hasattr(type(ax), "get_xaxis_transform"):
        raise TypeError("plots: ax must be a matplotlib Axes or None, not "
                        f"{type(ax).__name__!r}")
    return _plots[name].draw(data, ax, **options)
