"""Links: one transmission as a library call, in batches, for each way to encode and decode an image.

conditions      channel, SNR and CSI of one cell of a grid
transmission    symbols -> pilots, codes, channel, codes -> equalized symbols and their noise variance
retrieval       the noiseless retrieval, and the measures of a retrieval
base            base class of links
*_link, index_polar, bpg_ldpc    one link each; `trainer.codecs.table` says which codec has which
"""
