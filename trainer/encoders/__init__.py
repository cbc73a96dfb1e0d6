"""Image encoders in torch and their way into a model set.

builtin            EfficientNet-Lite0 with a head that we fitted; `heads`, and `head_report` on which is best
open_clip_encoder  OpenAI's CLIP ViT-B/32, and any model of open_clip
registry           which name is which
export             torch to ONNX to a model set; `measure` what it is worth
command            `semlink train encoder`
"""
