/** The module's service and characteristics (docs/protocol.md, "BLE"). */

export const SERVICE = "51644326-28e6-4c56-a4d1-f27e4c2bfcfb";
export const TO_MODULE = "51644328-28e6-4c56-a4d1-f27e4c2bfcfb";
export const FROM_MODULE = "51644329-28e6-4c56-a4d1-f27e4c2bfcfb";
/** A write of at most this size fits the MTU of every phone of the last years; a smaller MTU splits it below us. */
export const WRITE_MAX = 180;
