/* Sends sealed reports to Vagn. Needs a C99 compiler and sockets, and no library: cc -O2 -o sealed sealed.c
 *
 *   sealed KEYFILE LAT LON [--emergency] [--to HOST:PORT]   sends a report; an alarm is repeated until it is answered
 *   sealed KEYFILE --seal SEQUENCE REPORT [--emergency]     prints the envelope of a report, both in hex
 *   sealed KEYFILE --open ANSWER                            prints sequence and content of an answer, in hex
 *
 * KEYFILE holds one line of `vagn device add ID --json`. The last sequence is kept beside it, in KEYFILE.sequence.
 * For a small device, take everything up to "reports" and give it a clock, a place to keep a number, and a modem. */

#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { ORDINARY = 0xc2, CALL = 0xc3, HEAD = 18, TAG = 16, OVERHEAD = HEAD + TAG + 1, DATAGRAM_MAX = 2048 };

static void fail(const char *why) {
    fprintf(stderr, "sealed: %s\n", why);
    exit(1);
}

/* --- ChaCha20-Poly1305, RFC 8439 */

static uint32_t load32(const uint8_t *at) {
    return at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void store32(uint8_t *at, uint32_t word) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(word >> 8 * i);
}

static uint32_t rotl(uint32_t word, int turn) { return word << turn | word >> (32 - turn); }

static void quarter(uint32_t *s, int a, int b, int c, int d) {
    s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 16);
    s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 12);
    s[a] += s[b]; s[d] = rotl(s[d] ^ s[a], 8);
    s[c] += s[d]; s[b] = rotl(s[b] ^ s[c], 7);
}

static void chacha20_block(const uint8_t key[32], uint32_t counter, const uint8_t nonce[12], uint8_t out[64]) {
    uint32_t start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}, s[16];
    for (int i = 0; i < 8; i++) start[4 + i] = load32(key + 4 * i);
    start[12] = counter;
    for (int i = 0; i < 3; i++) start[13 + i] = load32(nonce + 4 * i);
    memcpy(s, start, sizeof s);
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++) quarter(s, i, 4 + i, 8 + i, 12 + i);
        for (int i = 0; i < 4; i++) quarter(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (int i = 0; i < 16; i++) store32(out + 4 * i, s[i] + start[i]);
}

static void chacha20(const uint8_t key[32], const uint8_t nonce[12], uint8_t *data, size_t len) {
    uint8_t stream[64];
    for (size_t at = 0; at < len; at++) {
        if (at % 64 == 0) chacha20_block(key, 1 + (uint32_t)(at / 64), nonce, stream);
        data[at] ^= stream[at % 64];
    }
}

/* A number below 2^130 is kept in five words of 26 bits. */
typedef struct { uint32_t r[5], h[5]; } poly;

static void split26(const uint8_t b[17], uint32_t out[5]) {
    out[0] = load32(b) & 0x3ffffff;
    out[1] = load32(b + 3) >> 2 & 0x3ffffff;
    out[2] = load32(b + 6) >> 4 & 0x3ffffff;
    out[3] = load32(b + 9) >> 6 & 0x3ffffff;
    out[4] = load32(b + 12) >> 8 | (uint32_t)b[16] << 24;
}

static void poly_block(poly *p, const uint8_t *data, size_t len) {
    uint8_t block[17] = {0};
    uint32_t m[5];
    uint64_t d[5], carry = 0;
    memcpy(block, data, len);              /* a last block that is not full is filled with zeros */
    block[16] = 1;
    split26(block, m);
    for (int i = 0; i < 5; i++) p->h[i] += m[i];
    for (int i = 0; i < 5; i++) {
        d[i] = 0;
        for (int j = 0; j < 5; j++) d[i] += (uint64_t)p->h[j] * (j <= i ? p->r[i - j] : 5 * p->r[5 + i - j]);
    }
    for (int i = 0; i < 5; i++) {
        d[i] += carry;
        p->h[i] = d[i] & 0x3ffffff;
        carry = d[i] >> 26;
    }
    carry = p->h[0] + 5 * carry;
    p->h[0] = carry & 0x3ffffff;
    p->h[1] += (uint32_t)(carry >> 26);
}

static void poly_bytes(poly *p, const uint8_t *data, size_t len) {
    for (size_t at = 0; at < len; at += 16) poly_block(p, data + at, len - at < 16 ? len - at : 16);
}

static void tag_of(const uint8_t key[32], const uint8_t nonce[12], const uint8_t *aad, size_t aad_len,
                   const uint8_t *sealed, size_t len, uint8_t tag[TAG]) {
    uint8_t once[64], lengths[16] = {0}, r[17] = {0};
    uint32_t g[5], carry, mask;
    uint64_t sum = 0;
    poly p = {{0}, {0}};
    chacha20_block(key, 0, nonce, once);
    memcpy(r, once, 16);
    for (int i = 3; i < 16; i += 4) r[i] &= 15;
    for (int i = 4; i < 16; i += 4) r[i] &= 252;
    split26(r, p.r);
    store32(lengths, (uint32_t)aad_len);
    store32(lengths + 8, (uint32_t)len);
    poly_bytes(&p, aad, aad_len);
    poly_bytes(&p, sealed, len);
    poly_bytes(&p, lengths, 16);
    for (int round = 0; round < 2; round++) {                   /* carries are taken all the way */
        carry = 0;
        for (int i = 0; i < 5; i++) {
            p.h[i] += carry;
            carry = p.h[i] >> 26;
            p.h[i] &= 0x3ffffff;
        }
        p.h[0] += 5 * carry;
    }
    carry = 5;                                                  /* less 2^130 - 5, if it is not below that */
    for (int i = 0; i < 5; i++) {
        g[i] = p.h[i] + carry;
        carry = g[i] >> 26;
        g[i] &= 0x3ffffff;
    }
    mask = (uint32_t)-(int32_t)carry;
    for (int i = 0; i < 5; i++) p.h[i] = (g[i] & mask) | (p.h[i] & ~mask);
    for (int i = 0; i < 4; i++) {
        sum += (uint64_t)(p.h[i] >> 6 * i | p.h[i + 1] << (26 - 6 * i)) + load32(once + 16 + 4 * i);
        store32(tag + 4 * i, (uint32_t)sum);
        sum >>= 32;
    }
}

/* --- SHA-256, HMAC and HKDF: FIPS 180-4, RFC 2104, RFC 5869 */

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotr(uint32_t word, int turn) { return rotl(word, 32 - turn); }

static void sha256_block(uint32_t state[8], const uint8_t *block) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) + w[i - 7]
             + (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t1 = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
        uint32_t t2 = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t1;
        s[0] = t1 + t2;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

/* At most 150 bytes: all that is hashed here is short. */
static void sha256(const uint8_t *data, size_t len, uint8_t out[32]) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    uint8_t padded[192] = {0};
    size_t whole = (len + 8) / 64 * 64 + 64;
    memcpy(padded, data, len);
    padded[len] = 0x80;
    padded[whole - 2] = (uint8_t)(len * 8 >> 8);
    padded[whole - 1] = (uint8_t)(len * 8);
    for (size_t at = 0; at < whole; at += 64) sha256_block(state, padded + at);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* Keys and data of at most 64 bytes. */
static void hmac(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len, uint8_t out[32]) {
    uint8_t inner[128], outer[96];
    memset(inner, 0x36, 64);
    memset(outer, 0x5c, 64);
    for (size_t i = 0; i < key_len; i++) inner[i] ^= key[i], outer[i] ^= key[i];
    memcpy(inner + 64, data, len);
    sha256(inner, 64 + len, outer + 64);
    sha256(outer, 96, out);
}

static void hkdf36(const uint8_t secret[32], const uint8_t salt[9], const char *info, uint8_t out[36]) {
    uint8_t pseudorandom[32], text[64], block[32];
    size_t len = strlen(info);
    hmac(salt, 9, secret, 32, pseudorandom);
    memcpy(text, info, len);
    text[len] = 1;
    hmac(pseudorandom, 32, text, len + 1, out);
    memcpy(text, out, 32);
    memcpy(text + 32, info, len);
    text[32 + len] = 2;
    hmac(pseudorandom, 32, text, 32 + len + 1, block);
    memcpy(out + 32, block, 4);
}

/* --- keys and envelopes */

typedef struct { const char *path; uint8_t key_id[8], epoch, up[36], down[36]; int is_gateway; } device;

/* Writes an envelope, which is OVERHEAD bytes longer than the report, and returns its length. */
static size_t seal(const device *d, uint64_t sequence, const uint8_t *report, size_t len, uint8_t lane, uint8_t *out) {
    uint8_t nonce[12], aad[HEAD + 1];
    out[0] = 0xc1;
    out[1] = 0x10 | d->epoch;
    memcpy(out + 2, d->key_id, 8);
    for (int i = 0; i < 8; i++) out[10 + i] = (uint8_t)(sequence >> (56 - 8 * i));
    memcpy(nonce, d->up + 32, 4);
    memcpy(nonce + 4, out + 10, 8);
    memcpy(aad, out, HEAD);
    aad[HEAD] = lane;
    memcpy(out + HEAD, report, len);
    chacha20(d->up, nonce, out + HEAD, len);
    tag_of(d->up, nonce, aad, sizeof aad, out + HEAD, len, out + HEAD + len);
    out[HEAD + len + TAG] = lane;
    return len + OVERHEAD;
}

/* Opens an answer in its place; returns its content, or NULL when it is none to this key. */
static uint8_t *open_answer(const device *d, uint8_t *datagram, size_t *len) {
    uint8_t nonce[12], aad[HEAD + 1], tag[TAG], wrong = 0;
    if (*len <= OVERHEAD || datagram[0] != 0xc1 || datagram[1] != (0x10 | d->epoch) || memcmp(datagram + 2, d->key_id, 8)) return NULL;
    memcpy(nonce, d->down + 32, 4);
    memcpy(nonce + 4, datagram + 10, 8);
    memcpy(aad, datagram, HEAD);
    aad[HEAD] = datagram[*len - 1];
    *len -= OVERHEAD;
    tag_of(d->down, nonce, aad, sizeof aad, datagram + HEAD, *len, tag);
    for (int i = 0; i < TAG; i++) wrong |= tag[i] ^ datagram[HEAD + *len + i];     /* takes the same time for each tag */
    if (wrong) return NULL;
    chacha20(d->down, nonce, datagram + HEAD, *len);
    return datagram + HEAD;
}

static size_t unhex(const char *text, uint8_t *out, size_t most) {
    size_t len = strlen(text) / 2;
    if (strlen(text) % 2 || len > most) fail("hex of another length is expected");
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        if (sscanf(text + 2 * i, "%2x", &byte) != 1) fail("this is no hex");
        out[i] = (uint8_t)byte;
    }
    return len;
}

static void print_hex(const uint8_t *data, size_t len) {
    while (len--) printf("%02x", *data++);
    puts("");
}

static void unbase64(const char *text, uint8_t *out, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    for (size_t have = 0, done = 0; done < len; text++) {
        const char *digit = *text ? strchr(digits, *text) : NULL;
        if (!digit) fail("the secret is not 32 bytes in base64");
        bits = bits << 6 | (uint32_t)(digit - digits);
        if ((have += 6) >= 8) out[done++] = (uint8_t)(bits >> (have -= 8));
    }
}

/* Returns what follows the name in a line of JSON. The lines of `vagn device add --json` have no spaces and no escapes there. */
static const char *field(const char *line, const char *name) {
    const char *at = strstr(line, name);
    if (!at) fail("the key file is no line of `vagn device add --json`");
    return at + strlen(name);
}

static device read_device(const char *path) {
    device d = {path, {0}, 0, {0}, {0}, 0};
    char line[512] = "", key_id[17];
    uint8_t secret[32], salt[9];
    FILE *file = fopen(path, "r");
    if (!file || !fgets(line, sizeof line, file)) fail("the key file cannot be read");
    fclose(file);
    snprintf(key_id, sizeof key_id, "%s", field(line, "\"key_id\":\""));
    if (unhex(key_id, d.key_id, 8) != 8) fail("a key id has 16 digits");
    unbase64(field(line, "\"secret\":\""), secret, 32);
    d.is_gateway = !strstr(line, "\"vehicle_id\":\"");
    d.epoch = (uint8_t)atoi(field(line, "\"epoch\":")) & 15;
    memcpy(salt, d.key_id, 8);
    salt[8] = d.epoch;
    hkdf36(secret, salt, "vagn/1 up", d.up);
    hkdf36(secret, salt, "vagn/1 down", d.down);
    return d;
}

static uint64_t now_ms(void) {
    struct timeval now;
    gettimeofday(&now, NULL);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_usec / 1000;
}

/* Gives a number that was never used: above the clock and above the last one, which is kept before the new one is used.
 * A device keeps one in a thousand, ahead, and begins 1024 above it. */
static uint64_t next_sequence(const device *d) {
    static uint64_t last;
    static int file = -1;
    char path[4096], text[32] = "";
    if (file < 0) {
        snprintf(path, sizeof path, "%s.sequence", d->path);
        file = open(path, O_RDWR | O_CREAT, 0600);
        if (file < 0 || flock(file, LOCK_EX)) fail("the last sequence cannot be kept");
        if (pread(file, text, sizeof text - 1, 0) > 0) last = strtoull(text, NULL, 10) + 1024;
        if (last < now_ms()) last = now_ms();
    }
    int len = snprintf(text, sizeof text, "%020llu\n", (unsigned long long)++last);
    if (pwrite(file, text, (size_t)len, 0) != len) fail("the last sequence cannot be kept");
    return last;
}

/* --- reports: msgpack, as far as it is needed */

static size_t put(uint8_t *out, const char *name, uint8_t type, uint64_t bits) {
    size_t len = strlen(name);
    out[0] = (uint8_t)(0xa0 | len);
    memcpy(out + 1, name, len);
    out[len + 1] = type;
    if (type == ORDINARY || type == CALL) return len + 2;       /* 0xc2 and 0xc3 are false and true in msgpack */
    for (int i = 0; i < 8; i++) out[len + 2 + i] = (uint8_t)(bits >> (56 - 8 * i));
    return len + 10;
}

/* Ts is inside the seal, which proves who sent a report, and not when. Without `ID` the key says the vehicle; a gateway sends
 * it. Emergency comes last. */
static size_t make_report(double lat, double lon, uint64_t seq, uint8_t lane, uint8_t *out) {
    uint64_t lat_bits, lon_bits;
    size_t len = 1;
    memcpy(&lat_bits, &lat, 8);
    memcpy(&lon_bits, &lon, 8);
    out[0] = 0x85;
    len += put(out + len, "Lat", 0xcb, lat_bits);
    len += put(out + len, "Lon", 0xcb, lon_bits);
    len += put(out + len, "Ts", 0xcf, now_ms());
    len += put(out + len, "Seq", 0xcf, seq);
    return len + put(out + len, "Emergency", lane, 0);
}

static int holds(const uint8_t *data, size_t len, const uint8_t *part, size_t part_len) {
    for (size_t at = 0; at + part_len <= len; at++)
        if (!memcmp(data + at, part, part_len)) return 1;
    return 0;
}

static int is_answer(const device *d, uint8_t *datagram, size_t len, uint64_t seq) {
    uint8_t part[16], *answer = open_answer(d, datagram, &len);
    return answer && holds(answer, len, (const uint8_t *)"\xa6Stored\xc3", 8) && holds(answer, len, part, put(part, "Seq", 0xcf, seq));
}

static int send_report(const device *d, double lat, double lon, uint8_t lane, const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *found, *address;
    uint8_t report[128], datagram[DATAGRAM_MAX];
    uint64_t seq = now_ms();
    size_t len = make_report(lat, lon, seq, lane, report);
    if (getaddrinfo(host, port, &hints, &found)) fail("the server has no address");
    /* IPv4 first: a server that listens on 0.0.0.0 is then found under `localhost`, too. */
    for (address = found; address && address->ai_family != AF_INET; address = address->ai_next);
    if (!address) address = found;
    int udp = socket(address->ai_family, SOCK_DGRAM, 0);
    if (udp < 0 || connect(udp, address->ai_addr, address->ai_addrlen)) fail("there is no way to the server");
    for (int wait = 1; wait <= 8; wait *= 2) {                  /* the same report; the envelope has a new sequence */
        uint64_t until = now_ms() + 1000u * (unsigned)wait;
        size_t sealed = seal(d, next_sequence(d), report, len, lane, datagram);
        int refused = send(udp, datagram, sealed, 0) < 0;       /* perhaps the server is about to start */
        if (lane == ORDINARY) return puts("sent") < 0;
        while (now_ms() < until) {
            uint64_t left = until - now_ms();
            struct timeval limit = {(time_t)(left / 1000), (suseconds_t)(left % 1000 * 1000 + 1)};
            setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
            ssize_t got = refused ? -1 : recv(udp, datagram, sizeof datagram, 0);
            if (got > 0 && is_answer(d, datagram, (size_t)got, seq)) return puts("stored") < 0;
            if (got < 0) usleep(10000);
        }
        fprintf(stderr, "no answer: the alarm is repeated\n");
    }
    fail("the alarm may not be recorded");
    return 1;
}

static double number(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end) fail("LAT and LON are numbers of degrees");
    return value;
}

int main(int argc, char **argv) {
    static const char usage[] = "usage: sealed KEYFILE LAT LON [--emergency] [--to HOST:PORT]";
    uint8_t lane = ORDINARY, in[DATAGRAM_MAX], out[DATAGRAM_MAX + OVERHEAD];
    const char *host = "localhost", *port = "9092", *words[4];
    int count = 0;
    for (int i = 1; i < argc; i++) {
        char *colon;
        if (!strcmp(argv[i], "--emergency")) {
            lane = CALL;
        } else if (!strcmp(argv[i], "--to")) {
            if (++i == argc) fail(usage);
            host = argv[i];
            if ((colon = strrchr(argv[i], ':'))) {
                *colon = 0, port = colon + 1;
                if (*host == '[' && colon[-1] == ']') colon[-1] = 0, host++;
            } else if (++i < argc) {
                port = argv[i];                                 /* HOST PORT will do, too */
            } else {
                fail(usage);
            }
        } else if (count == 4) {
            fail(usage);
        } else {
            words[count++] = argv[i];
        }
    }
    if (count < 3) fail(usage);
    device d = read_device(words[0]);
    if (!strcmp(words[1], "--seal") && count == 4) {
        size_t len = unhex(words[3], in, sizeof in);
        print_hex(out, seal(&d, strtoull(words[2], NULL, 10), in, len, lane, out));
    } else if (!strcmp(words[1], "--open") && count == 3) {
        size_t len = unhex(words[2], in, sizeof in);
        uint8_t *answer = open_answer(&d, in, &len);
        unsigned long long sequence = 0;
        if (!answer) fail("no answer to this key");
        for (int i = 10; i < HEAD; i++) sequence = sequence << 8 | in[i];
        printf("%llu ", sequence);
        print_hex(answer, len);
    } else if (count == 3) {
        /* Under a gateway's key the service refuses a report without ID (`no_id`), and tells nobody. */
        if (d.is_gateway) fail("the key is that of a gateway, whose reports need ID: make a key for the vehicle, or add ID in `make_report`");
        return send_report(&d, number(words[1]), number(words[2]), lane, host, port);
    } else {
        fail(usage);
    }
    return 0;
}
