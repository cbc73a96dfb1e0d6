"""Trains codecs, exports image encoders and measures links: the only package that imports torch.

- datasets: images to send, to search and to train on
- encoders: image encoders, exported to ONNX or imported from it
- features: features of a list of images, cached
- codecs: the table of codecs, and their training
- links: a codec over a channel, as a function
- evaluation: links over a grid of rates, SNRs and channels
- demo: the link as three processes
"""
