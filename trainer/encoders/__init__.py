"""Image encoders, and their way into a model set.

builtin            EfficientNet-Lite0 with a fitted head; `heads` has the candidates, `head_report` compares them
open_clip_encoder  OpenAI's CLIP ViT-B/32, and any model of open_clip
onnx_encoder       any ONNX graph; `image_graph` completes it
callable_encoder   any Python function, for evaluation
registry           encoders by name, also those of installed packages
export             from torch to ONNX and a model set
measure            nearest-neighbour accuracy of an encoder
command            `semlink train encoder`
"""
