"""What a handler returns instead of a result; plain numbers below every errno, so that the loop tests one integer."""

CONTINUE = -(1 << 40)  # the host runs the call; the platform checks that the number is in the listed cases
RESULT_MAX = (1 << 63) - 1  # what the register can hold that gives the guest its result
DEFERRED = -(1 << 41)  # the call is answered later, or was answered by the handler
