/* The Internet checksum (RFC 1071): ones' complement sums of big-endian 16-bit words. Holds no policy. */
#include <stdint.h>
#include <string.h>

/* The folded, not complemented sum of `size` bytes, an odd last one padded with zero, added to `initial`. */
unsigned eng_checksum(const char *data, uint64_t size, unsigned initial)
{
	const char *at = data;
	uint64_t sum = 0, word;

	/* Sums may be taken in any byte order (RFC 1071, 2.B): wide words in the machine's, the carries added at the end. */
	for (; size >= 8; size -= 8, at += 8) {
		memcpy(&word, at, 8);
		sum += (word & 0xffffffff) + (word >> 32);
	}
	if (size) {
		word = 0;
		memcpy(&word, at, size);
		sum += (word & 0xffffffff) + (word >> 32);
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	sum = sum >> 8 | (sum & 0xff) << 8;
#endif
	sum += initial;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}
