"""The schemas of KServe's kinds, pruned to what a server checks and merges by, and the program that prunes them."""
