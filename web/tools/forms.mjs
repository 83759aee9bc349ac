// The compressed forms of a file.
import { promisify } from "node:util";
import { brotliCompress, brotliDecompressSync, constants, gunzipSync, gzip } from "node:zlib";

/**
 * @typedef {object} Form
 * @property {string} ending End of the name of a file in this form.
 * @property {(bytes: Buffer) => Promise<Buffer>} compress
 * @property {(bytes: Buffer) => Buffer} open
 */

/** @type {readonly Form[]} */
export const FORMS = [
  { ending: ".br", compress: brotli, open: brotliDecompressSync },
  { ending: ".gz", compress: (bytes) => promisify(gzip)(bytes, { level: 9 }), open: gunzipSync },
];

/**
 * Tells if `compressed` is a form of `bytes`. Another version of zlib or Brotli may compress to other bytes, so what comes out
 * is compared.
 *
 * @param {Form} form
 * @param {Buffer} compressed
 * @param {Buffer} bytes
 */
export function opensTo(form, compressed, bytes) {
  try {
    return form.open(compressed).equals(bytes);
  } catch {
    return false;
  }
}

/** @param {Buffer} bytes */
function brotli(bytes) {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return promisify(brotliCompress)(bytes, { params });
}
