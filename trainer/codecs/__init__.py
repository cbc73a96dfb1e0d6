"""Codecs: the small networks between features and symbols, and the channels they are trained on."""
