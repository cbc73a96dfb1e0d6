"""What else could be sent over the same channel: the picture itself. Two references for `semlink evaluate`.

bpg-ldpc   HEVC still -> LDPC code -> QAM -> channel -> the same still, or nothing
deepjscc   network -> symbols -> channel -> network -> a picture of less or more noise

Either way the receiver encodes the picture that it gets, with the image encoder that the others' transmitters have,
and searches the knowledge base for its features.
"""
