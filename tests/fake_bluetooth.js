// Web Bluetooth over the tests' radio: what the page uses of it, with notifications that a real phone might split so.
{
  const uuid = (name) => `5164432${name}-28e6-4c56-a4d1-f27e4c2bfcfb`;
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  class Characteristic extends EventTarget {
    constructor(radio, id) {
      super();
      Object.assign(this, { radio, uuid: id, value: null });
    }
    async startNotifications() {
      await this.radio.call("subscribe", { characteristic: this.uuid });
    }
    async writeValueWithResponse(data) {
      if (data.length > 512) throw new TypeError("too long");
      fakeBluetooth.writes.push(data.length);
      const value = btoa(String.fromCharCode(...data));
      await this.radio.call("write", { characteristic: this.uuid, value, response: true });
    }
    notify(text) {
      const padded = new Uint8Array([0, ...bytes(text), 0]); // a view somewhere in a larger buffer
      this.value = new DataView(padded.buffer, 1, padded.length - 2);
      this.dispatchEvent(new Event("characteristicvaluechanged"));
    }
  }

  class Device extends EventTarget {
    constructor() {
      super();
      const device = this;
      let radio = null;
      this.gatt = {
        async connect() {
          radio = await openRadio(device);
          const [found] = await radio.call("scan");
          if (!found) throw new DOMException("out of reach", "NetworkError");
          await radio.call("connect", { address: found.address });
          return {
            async getPrimaryService(service) {
              if (service !== uuid(6)) throw new DOMException("no such service", "NotFoundError");
              return {
                async getCharacteristic(id) {
                  return (radio.characteristics[id] ??= new Characteristic(radio, id));
                },
              };
            },
          };
        },
        disconnect() {
          radio?.socket.close();
        },
      };
    }
  }

  async function openRadio(device) {
    const socket = new WebSocket(new URL("radio", location.href.split("#")[0]).href.replace("http", "ws"));
    await new Promise((resolve) => (socket.onopen = resolve));
    const waiting = new Map();
    const radio = {
      socket,
      characteristics: {},
      call(op, more) {
        const id = waiting.size + 1;
        socket.send(JSON.stringify({ id, op, ...more }));
        return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
      },
    };
    socket.onmessage = ({ data }) => {
      const told = JSON.parse(data);
      if (told.event === "notify") radio.characteristics[told.characteristic]?.notify(told.value);
      else if (told.event === "disconnected") device.dispatchEvent(new Event("gattserverdisconnected"));
      else if (told.error) waiting.get(told.id).reject(new DOMException(told.error.code, "NetworkError"));
      else waiting.get(told.id).resolve(told.ok);
    };
    return radio;
  }

  const device = new Device();
  window.fakeBluetooth = { writes: [], filters: null, chosen: true };
  Object.defineProperty(navigator, "bluetooth", {
    value: {
      async requestDevice(options) {
        fakeBluetooth.filters = options.filters;
        if (!fakeBluetooth.chosen) throw new DOMException("User cancelled", "NotFoundError");
        return device;
      },
    },
  });
}
