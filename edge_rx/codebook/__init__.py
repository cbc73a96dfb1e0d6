"""The codebook of `adapted`: made of a knowledge base's own entries, without a training set and without torch.

    vectors --cells--> labels, or k-means --discriminants--> centroids --codewords--> signs
    vectors --principal components--> projection of the analog part

make       all of it, with the shape that simulated transmissions favour
simulate   entries sent to the rest of the knowledge base through noise
command    commands of `semlink kb` that make, export and forecast
"""
