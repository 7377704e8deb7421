"""The air between module and phones: Bumble's local link, with what it leaves out of a radio.

Corrected here, for Bumble 0.0.236: a scan response is delivered, and says something else than the advertising
data; who takes no connections gets none; of two that answer the same advertisement one is connected; a
connection that nobody answers can be given up; a reset ends connections and advertising. Added: peers that are
gone without a word, and peers that take nothing.
"""

import asyncio

from bumble import hci, ll
from bumble.controller import Controller
from bumble.link import LocalLink

# After what silence a link counts as lost. Phones ask for 2 to 20 s.
SUPERVISION_S = 0.3

_Report = hci.HCI_LE_Extended_Advertising_Report_Event.Report
_Kind = hci.HCI_LE_Extended_Advertising_Report_Event.EventType
_CONNECTABLE_AND_SCANNABLE = 0b11  # the two lowest bits of an advertising set's properties


class Air(LocalLink):
    """Every radio within reach. Its controllers are `Radio`s; all methods belong to one event loop."""

    def __init__(self):
        super().__init__()
        self._silent = set()  # radios that nobody hears and that hear nothing
        self._held = set()  # radios whose host takes no more data

    # What happens to a radio

    def lose(self, radio):
        """Out of reach or without power, from one moment to the next. Those connected with it notice later."""
        self._silent.add(radio)
        for connection in radio.le_connections.values():
            asyncio.get_running_loop().call_later(SUPERVISION_S, radio.expire, connection)
        self.leave_peers(radio)

    def leave_peers(self, radio):
        """Those connected with it hear nothing more on these connections."""
        for connection in radio.le_connections.values():
            peer = self.find_le_controller(connection.peer_address)
            other = peer and peer.le_connections.get(connection.self_address)
            if other:
                asyncio.get_running_loop().call_later(SUPERVISION_S, peer.expire, other)

    def find_again(self, radio):
        """Back within reach."""
        self._silent.discard(radio)

    def remove(self, radio):
        """For good: the power is off."""
        self.lose(radio)
        radio.power_off()
        self.controllers.discard(radio)

    def hold(self, radio):
        """From now on its host takes no data: what is sent to it waits at the sender."""
        self._held.add(radio)

    def release(self, radio):
        self._held.discard(radio)
        for sender in self.controllers:
            sender.send_waiting()

    # What radios do

    def takes_data(self, address):
        """Whether data for a peer leaves the sender's buffers now."""
        receiver = self.find_le_controller(address)
        return receiver is not None and receiver not in self._held and receiver not in self._silent

    def advertising(self, address):
        """(radio, advertising set) of who advertises under an address, or None."""
        for radio in self.controllers - self._silent:
            for advertised in radio.advertising_sets.values():
                if advertised.enabled and advertised.address == address:
                    return radio, advertised
        return None

    def send_acl_data(self, sender_controller, destination_address, transport, data):
        if sender_controller not in self._silent:
            super().send_acl_data(sender_controller, destination_address, transport, data)

    def send_advertising_pdu(self, sender_controller, packet):
        if sender_controller in self._silent:
            return
        if isinstance(packet, ll.ConnectInd):
            # At once: nobody else is to answer the advertisement that this answers.
            radio, _ = self.advertising(packet.advertiser_address)
            radio.on_ll_advertising_pdu(packet)
            return
        loop = asyncio.get_running_loop()
        for radio in self.controllers - self._silent - {sender_controller}:
            loop.call_soon(radio.on_ll_advertising_pdu, packet)

    def send_ll_control_pdu(self, sender_address, receiver_address, packet):
        sender, receiver = map(self.find_le_controller, (sender_address, receiver_address))
        if sender and receiver and not {sender, receiver} & self._silent:
            super().send_ll_control_pdu(sender_address, receiver_address, packet)


class Radio(Controller):
    """One controller in the air."""

    # As the ESP32-S3 and phones have it: a packet takes what one of the air does.
    le_acl_data_packet_length = 251
    total_num_le_acl_data_packets = 12

    def __init__(self, name, air):
        self._waiting = []  # data packets for peers that take nothing
        super().__init__(name, link=air)

    def power_off(self):
        """No timer is left running, and the host hears nothing any more."""
        self.host = None
        self.pending_le_connection = None
        self._waiting.clear()
        for advertised in self.advertising_sets.values():
            advertised.stop()

    def expire(self, connection):
        """The supervision timeout of a link, if it still stands."""
        if self.le_connections.get(connection.peer_address) is connection:
            self.on_le_disconnected(connection, hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR)

    def send_waiting(self):
        waiting, self._waiting = self._waiting, []
        for packet in waiting:
            self.on_hci_acl_data_packet(packet)

    def on_hci_reset_command(self, command):
        self.link.leave_peers(self)
        self.le_connections.clear()
        for advertised in self.advertising_sets.values():
            advertised.stop()
        self.advertising_sets.clear()
        return super().on_hci_reset_command(command)

    def on_hci_acl_data_packet(self, packet):
        connection = self.find_le_connection_by_handle(packet.connection_handle)
        if connection is None:
            return  # the host has not heard yet that it is gone
        if self.link.takes_data(connection.peer_address):
            super().on_hci_acl_data_packet(packet)
        else:
            self._waiting.append(packet)

    def on_le_disconnected(self, connection, reason):
        self._waiting = [packet for packet in self._waiting if packet.connection_handle != connection.handle]
        super().on_le_disconnected(connection, reason)

    def on_link_acl_data(self, sender_address, transport, data):
        if sender_address in self.le_connections:  # else it crossed with the link's end
            super().on_link_acl_data(sender_address, transport, data)

    def on_ll_control_pdu(self, sender_address, packet):
        if sender_address in self.le_connections:
            super().on_ll_control_pdu(sender_address, packet)

    def on_advertising_pdu(self, pdu):
        found = self.link.advertising(pdu.advertiser_address)
        if found is None:
            return
        properties = found[1].parameters.advertising_event_properties & _CONNECTABLE_AND_SCANNABLE
        if self.le_scan_enable:
            self._report(pdu.advertiser_address, properties, pdu.data)
            if properties & _Kind.SCANNABLE_ADVERTISING:
                self._report(
                    pdu.advertiser_address, properties | _Kind.SCAN_RESPONSE, bytes(found[1].scan_response_data)
                )
        pending = self.pending_le_connection
        wanted = pending is not None and pending.peer_address == pdu.advertiser_address
        if wanted and properties & _Kind.CONNECTABLE_ADVERTISING:
            self.create_le_connection(pdu.advertiser_address)

    def _report(self, address, kind, data):
        report = _Report(
            event_type=kind | _Kind.LEGACY_ADVERTISING_PDU_USED,
            address_type=address.address_type,
            address=address,
            primary_phy=hci.Phy.LE_1M,
            secondary_phy=0,
            advertising_sid=0xFF,
            tx_power=0x7F,
            rssi=-50,
            periodic_advertising_interval=0,
            direct_address_type=0,
            direct_address=hci.Address.ANY,
            data=data,
        )
        self.send_hci_packet(hci.HCI_LE_Extended_Advertising_Report_Event([report]))

    def on_hci_le_create_connection_cancel_command(self, command):
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending is not None:
            asyncio.get_running_loop().call_soon(self._say_cancelled, pending)
        return super().on_hci_le_create_connection_cancel_command(command)

    def _say_cancelled(self, pending):
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
