// Nodes with little log and values that do not compress, so that few writes make tables and leave a
// node behind the log. Test only.
#pragma once

#include <string>

#include "base/random.h"
#include "node/test_node.h"

namespace arima::node {

class LargeValuesTest : public NodeTest {
 protected:
  LargeValuesTest() {
    LimitLogs({.retain_bytes = 256 << 10, .retain_max_bytes = 64 << 20});
    snapshots_.free_bytes_min = 1 << 20;
    snapshots_.await_ns = 1'000'000'000;
    snapshots_.retry_ns_min = 100'000'000;
    snapshots_.retry_ns_max = 500'000'000;
  }

  // 4 KB that no compression makes smaller; the same for the same key.
  static std::string ValueOf(int key) {
    SeededRandom random(static_cast<uint64_t>(key) + 1);
    std::string value(4000, '\0');
    for (char& c : value) c = static_cast<char>(random.Below(256));
    return value;
  }
  void Write(TestNode& node, int first, int last) {
    for (int i = first; i < last; ++i) ExpectPut(node, "k" + std::to_string(i), ValueOf(i));
  }
  // As the node has it now.
  void ExpectHolds(TestNode& node, int first, int last) {
    for (int i = first; i < last; ++i) {
      auto read = node.node().kv().GetLocal({"k" + std::to_string(i)});
      ASSERT_TRUE(read) << read.error().ToString();
      ASSERT_TRUE(read->found && read->value.view() == ValueOf(i)) << "k" << i;
    }
  }
};

}  // namespace arima::node
