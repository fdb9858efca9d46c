"""What may happen next to a plan: its life, the policy gate, whether it is done, and the next action. Pure."""
