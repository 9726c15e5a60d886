"""Which dataclass declares which section of the parameters, and the check of all of them.

The table `SECTIONS` and the folders of methods, mask backends and layouts are all there is: such a
file has a dataclass `Options`, and a key that it declares is a key of its section. Nothing here
imports torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from crgan.common.errors import UserError
from crgan.common.project import modules_with
from crgan.common.settings import Count, Natural, Size, Within, keys_of, settings_from, values_from
from crgan.pipeline.declared import declared, names_in, resolved, source_of
from crgan.pipeline.places import AS_IT_IS

SECTIONS = {
    "run": ("crgan.train.compute", "Compute"),
    "loss": ("crgan.gan.crgan", "Weights"),
    "gan": ("crgan.gan.crgan", "Options"),
    "render_set": ("crgan.gan.rendered_set", "Settings"),
    "cnn": ("crgan.train.classifier", "Recipe"),
    "pretrain_cam": ("crgan.train.classifier", "Recipe"),
    "finetune": ("crgan.reid.finetune", "FineTuning"),
    "evaluate": ("crgan.reid.evaluate", "Protocol"),
    "visual": ("crgan.gan.visual", "Settings"),
    "judges": ("crgan.reid.judging", "Settings"),
    "selection": ("crgan.reid.selection", "Settings"),
    "intervals": ("crgan.metrics.bootstrap", "Settings"),
}
# Where the files of the models of a section are.
FOLDERS = {"translators": "gan", "adaptation": "adaptation", "handcrafted": "handcrafted"}
GROUPS = {"gan": "gan", "translators": "gan", "adapt": "adaptation", "handcrafted": "handcrafted"}
ENTRY = {"gan": ("train", "load_renderer", "Weights"), "translators": ("train", "load_renderer"),
         "adapt": ("adapt",), "handcrafted": ("fit",)}  # fmt: skip
"""What a method's file holds."""
RECIPE = ("schedule", "warmup", "adam_betas", "weight_decay", "label_smoothing", "flip",
          "crop_padding")  # fmt: skip
"""Keys of `cnn` that other trainings of a CNN share; `erasing` is of D_id's own images."""


@dataclass(frozen=True)
class Machine:
    """Keys of a profile's `run`: device, and CPU threads of one job."""

    device: Literal["cpu", "cuda", "auto"]
    threads: Annotated[int, Within(least=1, most=4096)]


@dataclass(frozen=True)
class Image:
    """Section `image` of a profile: height and width as stored and as the networks see them."""

    store: Size
    train: Size


@dataclass(frozen=True)
class Network:
    """Keys of `cnn` that are not its training's."""

    backbone: Literal["small", "resnet50", "mobilenetv2"]
    width: Annotated[int, Within(least=1, most=256)]
    last_stride: Literal[1, 2]


@dataclass(frozen=True)
class Figures:
    """Section `figures`: what Figures 5 to 7 show."""

    people: Natural
    renderings: Natural
    contexts: Natural
    ranks: Natural
    seed: Natural


@dataclass(frozen=True)
class Records:
    """Section `records`: what a provenance record is held against beside its identity."""

    strict_versions: bool = False


@dataclass(frozen=True)
class Roles:
    """Section `weights` of a profile: a name of weights.yaml, a file, `none` or `random`.

    `parsing`, of the masks, is what the mask backend names, unless the profile says another.
    """

    backbone: str
    parsing: str
    lpips: str
    inception: str


def options_of(section: str, model: str, origin: str = "params.yaml") -> type:
    """The dataclass of a model's section (`translators`, `adaptation` or `handcrafted`).

    Raises:
        UserError: no such model.
    """
    module = f"crgan.{FOLDERS[section]}.{model}"
    if not source_of(module).is_file():
        where = source_of(module).relative_to(source_of("").parent)
        raise UserError(f"{origin}: {section}.{model}: there is no {where}; write it, or rename it")
    return declared(module, "Options") or _Empty


def mask_backends() -> tuple[str, ...]:
    """Those that there are, as `crgan.masks.backend.names`."""
    return modules_with(source_of("crgan.masks").with_suffix(""), "\ndef make(")


def mask_options(backend: str) -> type:
    """The dataclass of a mask backend's section."""
    module = f"crgan.masks.{backend}"
    package = not source_of(module).is_file()
    return declared(f"{module}.__init__" if package else module, "Options") or _Empty


@dataclass(frozen=True)
class _Empty:
    """Of a model that has no parameters."""


class _Layers:
    """Sections laid over one another; knows where each key comes from.

    Args:
        parts: (name of a section, its values), the first at the bottom.
    """

    def __init__(self, origin: str, parts: list[tuple[str, Any]]) -> None:
        self.origin, self.parts = origin, []
        for name, values in parts:
            if values is None or not isinstance(values, Mapping):
                raise UserError(f"{origin}: {name} is {values!r}; it must be keys and values")
            self.parts.append((name, values))
        self.values: dict[str, Any] = {k: v for _, part in self.parts for k, v in part.items()}

    def place(self, key: str) -> str:
        homes = [name for name, part in self.parts if key in part] or [self.parts[0][0]]
        return f"{self.origin}: {homes[-1]}.{key}" if key else f"{self.origin}: {homes[0]}"

    def take(self, *keys: str) -> dict[str, Any]:
        return {key: self.values.pop(key) for key in keys if key in self.values}

    def check(
        self,
        cls: type,
        values: Mapping[str, Any] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        """Refuse values that the dataclass refuses, and a size of images its networks cannot take
        (`check_size` of the dataclass, where it has one).
        """
        seen = self.values if values is None else values
        made: Any = resolved(lambda: settings_from(cls, seen, self.place))
        if size and hasattr(made, "check_size"):
            try:
                resolved(lambda: made.check_size(*size))
            except UserError as error:
                raise UserError(f"{self.place('')}: {error}") from None


def check_sections(params: Mapping[str, Any], origin: str) -> None:
    """Refuse a key that no dataclass declares and a value that one refuses, naming its place.

    Args:
        params: resolved (`crgan.pipeline.params`); those of its profile are checked.
    """
    profile = f"profiles.{params['profile']}"
    own = params["profiles"][params["profile"]]

    def layers(name: str, *more: tuple[str, Any]) -> _Layers:
        both = ((name, params.get(name)), (f"{profile}.{name}", own.get(name)))
        found = [(place, values) for place, values in both if values is not None]
        return _Layers(origin, [*found, *more] or [(name, None)])

    layers("image").check(Image)
    height, width = own["image"]["train"]
    size = (height, width)
    _check_networks(layers)
    _check_masks(layers("masks"))
    for name in ("loss", "gan", "render_set", "finetune", "evaluate", "visual", "judges",
                 "selection", "intervals"):  # fmt: skip
        layers(name).check(_declared(*SECTIONS[name]), size=size)
    for name, cls in (
        ("figures", Figures),
        ("weights", Roles),
        ("records", Records),
    ):
        layers(name).check(cls)
    _check_machine(layers("run"))
    _check_data(params, own, profile, origin)
    for section in FOLDERS:
        below = layers("cyclegan").parts if section == "translators" else []
        for model in params.get(section) or {}:
            _check_model(section, model, params, own, profile, below, origin, size)
    matrix = params["matrix"]
    running = {cell["method"] for group in GROUPS for cell in matrix[group]}
    for name, method in params["methods"].items():
        if name not in running:  # none of its directions is of this profile, or of `run_pairs`
            continue
        if method["options"] or any(cell["method"] == name for cell in matrix["gan"]):
            _check_options(name, method["options"], params, layers, origin, size)


def check_models(params: Mapping[str, Any], origin: str) -> None:
    """Refuse a method without a file of science, and a file that holds no method."""
    for group, folder in GROUPS.items():
        for cell in params["matrix"][group]:
            path = source_of(f"crgan.{folder}.{cell['model']}")
            if cell["model"] != AS_IT_IS and not path.is_file():
                raise UserError(
                    f"{origin}: methods.{cell['method']}: there is no crgan/{folder}/{path.name}; "
                    "write it, or say by `model` whose file it is"
                )
            lacking = set(ENTRY[group]) - names_in(f"crgan.{folder}.{cell['model']}")
            if cell["model"] != AS_IT_IS and lacking:
                raise UserError(
                    f"{origin}: methods.{cell['method']}: crgan/{folder}/{path.name} is no method "
                    f"of this kind, it lacks {min(lacking)}; say by `model` whose file it is"
                )


def _declared(module: str, name: str) -> type:
    found = declared(module, name)
    if found is None:
        raise UserError(f"{source_of(module)}: no dataclass {name}")
    return found


def _check_machine(run: _Layers) -> None:
    run.check(Machine, run.take(*(f.name for f in fields(Machine))))
    run.check(_declared(*SECTIONS["run"]))


def _check_networks(layers: Any) -> None:
    recipe = _declared(*SECTIONS["cnn"])
    cnn = layers("cnn", *layers("pretrain_id").parts)
    cnn.check(Network, cnn.take(*(f.name for f in fields(Network))))
    cnn.check(recipe)
    camera = layers("pretrain_cam")
    width = camera.take("width")
    camera.check(_Width, width)
    camera.check(recipe)


@dataclass(frozen=True)
class _Width:
    width: Count


def _check_masks(masks: _Layers) -> None:
    known = mask_backends()
    sections = masks.take(*known)
    if (backend := masks.values.get("backend")) not in known:
        listed = ", ".join(known)
        raise UserError(f"{masks.place('backend')} is {backend!r}; use one of {listed}")
    masks.check(_Masks)
    for name, section in sections.items():
        cls = mask_options(name)
        resolved(lambda c=cls, s=section, n=name: settings_from(c, s, masks.place(n)))  # type: ignore[misc]


@dataclass(frozen=True)
class _Masks:
    splits: tuple[Literal["train", "query", "gallery"], ...]
    backend: str

    def __post_init__(self) -> None:
        if "train" not in self.splits or len(set(self.splits)) < len(self.splits):
            raise UserError(f"splits is {list(self.splits)}; name each once, and train among them")


def _check_data(
    params: Mapping[str, Any], own: Mapping[str, Any], profile: str, origin: str
) -> None:
    spec = _declared("crgan.data.prepare", "DataSpec")
    for name in own["data"]:
        if name not in params["data"]:
            raise UserError(f"{origin}: {profile}.data.{name}: section data has no {name}")
        parts = [(f"data.{name}", params["data"][name]),
                 (f"{profile}.data.{name}", own["data"][name])]  # fmt: skip
        both = _Layers(origin, parts)
        layout = both.values.get("layout")
        module = f"crgan.data.layouts.{layout}"
        if not isinstance(layout, str) or not source_of(module).is_file():
            raise UserError(
                f"{both.place('layout')} is {layout!r}; use one of {', '.join(_layouts())}"
            )
        options = declared(module, "Options") or _Empty  # keys beside those of every data set
        both.check(options, both.take(*keys_of_declared(options)))
        resolved(lambda b=both: values_from(  # type: ignore[misc]
            spec, b.values, b.place, ("options",)))  # fmt: skip
        demo = both.values.get("demo", {})
        resolved(lambda d=demo, b=both: settings_from(  # type: ignore[misc]
            _declared("crgan.synth.config", "DemoConfig"), d, b.place("demo")))  # fmt: skip


def _layouts() -> list[str]:
    folder = source_of("crgan.data.layouts").with_suffix("")
    return sorted(path.stem for path in folder.glob("[a-z]*.py"))


def _check_model(
    section: str, model: str, params: Mapping[str, Any], own: Mapping[str, Any], profile: str,
    below: list[tuple[str, Any]], origin: str, size: tuple[int, int],
) -> None:  # fmt: skip
    cls = options_of(section, model, origin)
    above = (own.get(section) or {}).get(model, {})
    parts = [*below, (f"{section}.{model}", params[section][model]),
             (f"{profile}.{section}.{model}", above)]  # fmt: skip
    both = _Layers(origin, parts)
    if section == "handcrafted":
        image = both.take("image")
        both.check(_Worked, image)
        size = image["image"][0], image["image"][1]
    both.check(cls, size=size)


@dataclass(frozen=True)
class _Worked:
    """The size a hand-crafted system works at."""

    image: Size


def _check_options(
    name: str, options: Mapping[str, Any], params: Mapping[str, Any], layers: Any, origin: str,
    size: tuple[int, int],
) -> None:  # fmt: skip
    """A method's options replace keys of its sections, which must know them and take the values."""
    homes = list(_homes(name, params, layers, origin))
    for key in options:
        if not any(key in keys_of_declared(cls) for cls, _ in homes):
            places = " or ".join(found.parts[0][0] for _, found in homes) or "its sections"
            raise UserError(f"{origin}: methods.{name}.options.{key}: no such key in {places}")
    for cls, found in homes:
        mine = {k: v for k, v in options.items() if k in keys_of_declared(cls)}
        parts = [*found.parts, (f"methods.{name}.options", mine)]
        _Layers(origin, parts).check(cls, size=size)


def keys_of_declared(cls: type) -> Mapping[str, Any]:
    """The keys of a declared dataclass (`crgan.common.settings.keys_of`)."""
    return resolved(lambda: keys_of(cls))


def _homes(
    name: str, params: Mapping[str, Any], layers: Any, origin: str
) -> Iterator[tuple[type, _Layers]]:
    matrix = params["matrix"]
    own, profile = params["profiles"][params["profile"]], f"profiles.{params['profile']}"
    groups = {"gan": None, "translators": "translators", "adapt": "adaptation",
              "handcrafted": "handcrafted"}  # fmt: skip
    for group, section in groups.items():
        models = {cell["model"] for cell in matrix[group] if cell["method"] == name}
        for model in sorted(models):
            if section is None:
                yield _declared(f"crgan.gan.{model}", "Weights"), layers("loss")
                yield _declared(f"crgan.gan.{model}", "Options"), layers("gan")
                continue
            below = layers("cyclegan").parts if section == "translators" else []
            values = {k: v for k, v in params[section][model].items() if k != "image"}
            above = {k: v for k, v in own[section][model].items() if k != "image"}
            parts = [
                *below,
                (f"{section}.{model}", values),
                (f"{profile}.{section}.{model}", above),
            ]
            yield options_of(section, model, origin), _Layers(origin, parts)
