/* CRC-32C (Castagnoli), the checksum of iSCSI (RFC 3720, appendix B.4): it finds every error of up to 32 neighbouring
 * bits, so every single flipped one. */
#ifndef DN_CRC32C_H
#define DN_CRC32C_H
#include <stddef.h>
#include <stdint.h>

/* The checksum of what `crc` is the checksum of (0: of nothing), followed by these bytes. */
uint32_t dn_crc32c(uint32_t crc, const void *data, size_t size);
/* The same by tables, as on processors without an instruction for it; for tests. */
uint32_t dn_crc32c_plain(uint32_t crc, const void *data, size_t size);
#endif
