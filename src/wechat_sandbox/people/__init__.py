"""The simulated people: who they are, whom they follow, what a message does to them."""
