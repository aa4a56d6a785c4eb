#include "transport/send_queue.h"

#include <gtest/gtest.h>

#include <string>

#include "transport/frame.h"

namespace arima::transport {
namespace {

using raft::Message;
using raft::MessageType;

Message App(size_t payload_bytes) {
  Message m;
  m.type = MessageType::kApp;
  raft::Entry entry;
  entry.index = raft::Index(1);
  entry.kind = raft::EntryKind::kCommand;
  entry.payload = SharedBytes::Take(std::string(payload_bytes, 'x'));
  entry.checksum = raft::EntryChecksum(entry.kind, entry.payload.view());
  m.entries = {entry};
  return m;
}

Message Heartbeat() {
  Message m;
  m.type = MessageType::kHeartbeat;
  return m;
}

TEST(SendQueue, WhatFitsIntoAFrameLeavesInOneInOrder) {
  SendQueue queue(1 << 20);
  EXPECT_EQ(queue.Push(Heartbeat()), 0u);
  EXPECT_EQ(queue.Push(App(100)), 0u);
  EXPECT_EQ(queue.Push(Heartbeat()), 0u);
  codec::MessageEncoder encoder;
  codec::EncodedMessages frame = queue.TakeFrame(&encoder);
  EXPECT_EQ(frame.count, 3u);
  EXPECT_EQ(frame.payload_bytes, 100u);
  EXPECT_TRUE(queue.empty());
  EXPECT_EQ(queue.bytes(), 0u);
}

TEST(SendQueue, FramesAreSplitButMessagesAreNot) {
  SendQueue queue(64 << 20);
  EXPECT_EQ(queue.Push(App(SendQueue::kFramePayloadBytes * 2)), 0u);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(queue.Push(App(SendQueue::kFramePayloadBytes / 2)), 0u);
  codec::MessageEncoder encoder;
  EXPECT_EQ(queue.TakeFrame(&encoder).count, 1u);
  EXPECT_EQ(queue.TakeFrame(&encoder).count, 2u);
  EXPECT_EQ(queue.TakeFrame(&encoder).count, 2u);
  EXPECT_EQ(queue.TakeFrame(&encoder).count, 1u);
  EXPECT_TRUE(queue.empty());
}

TEST(SendQueue, WhenFullTheAppsGoAndTheRestStays) {
  SendQueue queue(10'000);
  EXPECT_EQ(queue.Push(Heartbeat()), 0u);
  EXPECT_EQ(queue.Push(App(3000)), 0u);
  EXPECT_EQ(queue.Push(App(3000)), 0u);
  EXPECT_EQ(queue.Push(App(4000)), 2u);
  codec::MessageEncoder encoder;
  codec::EncodedMessages frame = queue.TakeFrame(&encoder);
  EXPECT_EQ(frame.count, 2u);  // the heartbeat and the newest App
  EXPECT_EQ(frame.payload_bytes, 4000u);
}

TEST(SendQueue, IsBoundedEvenWithoutApps) {
  SendQueue queue(10'000);
  size_t lost = 0;
  for (int i = 0; i < 1000; ++i) lost += queue.Push(Heartbeat());
  EXPECT_GT(lost, 900u);
  EXPECT_LE(queue.bytes(), 10'000u);
  EXPECT_EQ(queue.Clear() + lost, 1000u);
}

TEST(SendQueue, OneOversizeMessagePassesAnEmptyQueueButNotTheFrameLimit) {
  SendQueue queue(1000);
  EXPECT_EQ(queue.Push(App(5000)), 0u);
  EXPECT_EQ(queue.Push(Heartbeat()), 1u);  // the App made room
  EXPECT_EQ(queue.Push(App(kMessagesPayloadBytesMax + 1)), 1u);
  codec::MessageEncoder encoder;
  EXPECT_EQ(queue.TakeFrame(&encoder).payload_bytes, 0u);
  EXPECT_TRUE(queue.empty());
}

}  // namespace
}  // namespace arima::transport
