"""Runs graphs in ONNX Runtime, on the CPU and on NVIDIA GPUs, with its telemetry off.

From release 1.29 on, ONNX Runtime's Linux wheels keep a device id and a queue of events in the user's cache folder and
send them to Microsoft. The variable below is its documented opt-out, which it reads before its first event. No module
outside this package imports `onnxruntime`, and Python runs this file before any module inside it.
"""

import os

__all__: list[str] = []

os.environ["ORT_DISABLE_TELEMETRY"] = "1"
