"""The detection trainers, on tiny data that the tests make in the exact layouts."""
