// SendQueue: messages that wait for one peer, bounded in bytes. Rules: transport/PROTOCOL.md 5.
//
// Messages wait as values, so that payloads stay shared with the other peers' queues and a frame is
// built only when the connection can take it. Thread rule: one owner. Internal to transport/.
#pragma once

#include <cstddef>
#include <deque>

#include "codec/message_codec.h"
#include "raft/message.h"

namespace arima::transport {

class SendQueue {
 public:
  explicit SendQueue(size_t bytes_max) : bytes_max_(bytes_max) {}

  // How many messages were lost to make this one fit; it may be among them.
  size_t Push(raft::Message&& message);
  // Encodes as many messages from the front as make a good frame; at least one. Not empty.
  codec::EncodedMessages TakeFrame(codec::MessageEncoder* encoder);
  // How many were lost.
  size_t Clear();

  bool empty() const { return items_.empty(); }
  size_t bytes() const { return bytes_; }

  // Where one frame ends and the next begins.
  static constexpr size_t kFrameMetaBytes = 1 << 20;
  static constexpr size_t kFramePayloadBytes = 4 << 20;

 private:
  struct Item {
    raft::Message message;
    size_t meta_bytes;
    size_t payload_bytes;
    size_t cost() const { return meta_bytes + payload_bytes + sizeof(raft::Message); }
  };
  size_t DropApps();

  const size_t bytes_max_;
  std::deque<Item> items_;
  size_t bytes_ = 0;  // sum of their costs
};

}  // namespace arima::transport
