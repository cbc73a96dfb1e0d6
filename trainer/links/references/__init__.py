"""What else could be sent over the same channel, or how else. Three references for `semlink evaluate`.

index-polar   the number of `index` -> CRC, polar code -> QPSK -> channel -> the same number, or nothing
bpg-ldpc      picture: HEVC still -> LDPC code -> QAM -> channel -> the same still, or nothing
deepjscc      picture: network -> symbols -> channel -> network -> a picture of less or more noise

The receiver of a picture encodes it with the image encoder that the others' transmitters have, and searches the
knowledge base for its features.
"""
