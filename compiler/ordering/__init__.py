"""In which order to ask rules so that a packet is compared with as few as possible, and how far from the best that is.

Pure arithmetic: rules are jobs here, with a weight (how often they match) and a cost (of one comparison). `order.order`
is the entrance; `overlap` tells which rules must keep their order, `dimensions` what the boxes of rules are about,
`prices` what a comparison costs.
"""
