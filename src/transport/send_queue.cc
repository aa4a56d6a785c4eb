#include "transport/send_queue.h"

#include <utility>

#include "base/assert.h"
#include "transport/frame.h"

namespace arima::transport {

size_t SendQueue::Push(raft::Message&& message) {
  size_t meta_bytes = codec::EncodedMetaBytes(message);
  size_t payload_bytes = codec::EncodedPayloadBytes(message);
  if (meta_bytes > kMessagesMetaBytesMax || payload_bytes > kMessagesPayloadBytesMax) return 1;
  Item item{std::move(message), meta_bytes, payload_bytes};
  size_t lost = 0;
  if (bytes_ + item.cost() > bytes_max_) lost = DropApps();
  if (bytes_ + item.cost() > bytes_max_ && !items_.empty()) return lost + 1;
  bytes_ += item.cost();
  items_.push_back(std::move(item));
  return lost;
}

// A gap in the entries makes all later ones useless to the peer, so all go; votes, heartbeats and
// the rest stay.
size_t SendQueue::DropApps() {
  size_t before = items_.size();
  std::erase_if(items_, [this](const Item& item) {
    if (item.message.entries.empty()) return false;
    bytes_ -= item.cost();
    return true;
  });
  return before - items_.size();
}

codec::EncodedMessages SendQueue::TakeFrame(codec::MessageEncoder* encoder) {
  ARIMA_ASSERT(!items_.empty());
  codec::EncodedMessages frame;
  while (!items_.empty()) {
    const Item& item = items_.front();
    bool fits = frame.meta.size() + item.meta_bytes <= kFrameMetaBytes &&
                frame.payload_bytes + item.payload_bytes <= kFramePayloadBytes;
    if (frame.count > 0 && !fits) break;
    encoder->Append(item.message, &frame);
    bytes_ -= item.cost();
    items_.pop_front();
  }
  return frame;
}

size_t SendQueue::Clear() {
  bytes_ = 0;
  return std::exchange(items_, {}).size();
}

}  // namespace arima::transport
