"""Learns the codecs, exports the encoders, and proves the link: the only package that imports torch.

- datasets: real images, and who is sent and who is known
- encoders: picture to features, exported to ONNX
- features: a dataset through an encoder, cached
- codecs: features to symbols and back, trained for a rate
- evaluation: the link as a library call, over a grid
- demo: the link as three processes
"""
