"""The first lines of every child process; see start.py, which is who runs this file.

    python -I PATH/TO/entry.py IMPORT_PATH MODULE [ARGUMENT ...]

The package is the one beside this file, whatever else is called so on the path.
"""

import json
import runpy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def load_package() -> None:
    """Import idlescope from the folder of this file."""
    folder = Path(__file__).resolve().parents[1]
    spec = spec_from_file_location(
        "idlescope", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise SystemExit(f"{folder} holds no package")
    package = sys.modules["idlescope"] = module_from_spec(spec)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _, import_path, module, *arguments = sys.argv
    sys.path[:] = json.loads(import_path)
    load_package()
    from idlescope.children.cores import one_blas_thread

    one_blas_thread()
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
