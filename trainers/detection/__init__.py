"""Detection (sections 4.2 and 4.3): objects placed so that a detector learns more from them."""
