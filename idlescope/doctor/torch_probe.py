"""Print what torch knows of CUDA; run as a program, since a broken torch may end its process."""

from __future__ import annotations

import json


def main() -> None:
    """Import torch and print a line of JSON."""
    import torch

    devices = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            devices.append([device.name, device.total_memory])
    found = {"build": torch.version.cuda, "hip": torch.version.hip, "devices": devices}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
