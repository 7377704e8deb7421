/** BLE through the browser (Web Bluetooth). */

import type { Bytes } from "../protocol/bytes";
import { FROM_MODULE, SERVICE, TO_MODULE, WRITE_MAX } from "./gatt";
import { Inbox, LinkError, type Transport, within } from "./transport";

const CONNECT_MS = 20_000;
const WRITE_MS = 10_000;

/** The browser's own picker, of modules only. LinkError cancelled: nothing was chosen. */
export async function pickModule(): Promise<Transport> {
  try {
    return new WebBluetooth(await navigator.bluetooth.requestDevice({ filters: [{ services: [SERVICE] }] }));
  } catch (error) {
    const closed = error instanceof DOMException && error.name === "NotFoundError";
    throw new LinkError(closed ? "cancelled" : "unreachable");
  }
}

class WebBluetooth implements Transport {
  private inbox = new Inbox();
  private toModule: BluetoothRemoteGATTCharacteristic | null = null;
  private fromModule: BluetoothRemoteGATTCharacteristic | null = null;

  constructor(private readonly device: BluetoothDevice) {}

  async open(): Promise<void> {
    this.inbox = new Inbox();
    this.device.addEventListener("gattserverdisconnected", this.onDisconnected);
    try {
      await within(CONNECT_MS, this.connect(this.device.gatt!));
    } catch (error) {
      await this.close();
      throw error instanceof LinkError ? error : new LinkError("unreachable");
    }
  }

  private async connect(gatt: BluetoothRemoteGATTServer): Promise<void> {
    const server = await gatt.connect();
    const service = await server.getPrimaryService(SERVICE);
    this.toModule = await service.getCharacteristic(TO_MODULE);
    this.fromModule = await service.getCharacteristic(FROM_MODULE);
    this.fromModule.addEventListener("characteristicvaluechanged", this.onValue);
    await this.fromModule.startNotifications();
  }

  read(): Promise<Bytes> {
    return this.inbox.read();
  }

  async write(frame: Bytes): Promise<void> {
    try {
      for (let at = 0; at < frame.length; at += WRITE_MAX) {
        const piece = frame.slice(at, at + WRITE_MAX);
        await within(WRITE_MS, this.toModule!.writeValueWithResponse(piece));
      }
    } catch (error) {
      await this.close();
      throw error instanceof LinkError ? error : new LinkError("closed");
    }
  }

  async close(): Promise<void> {
    this.device.removeEventListener("gattserverdisconnected", this.onDisconnected);
    this.fromModule?.removeEventListener("characteristicvaluechanged", this.onValue);
    this.toModule = this.fromModule = null;
    this.device.gatt?.disconnect();
    this.inbox.end("closed");
  }

  private readonly onDisconnected = (): void => this.inbox.end("closed");

  private readonly onValue = (event: Event): void => {
    const value = (event.target as BluetoothRemoteGATTCharacteristic).value;
    if (value) {
      this.inbox.put(
        new Uint8Array(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength) as ArrayBuffer),
      );
    }
  };
}
