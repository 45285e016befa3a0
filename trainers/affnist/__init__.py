"""AffNIST (the paper's section 4.1): digits placed so that a classifier learns more from them."""
