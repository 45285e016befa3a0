"""Detection (the paper's sections 4.2, 4.3): objects placed so that a detector learns from them."""
