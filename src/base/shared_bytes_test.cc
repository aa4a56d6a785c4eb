#include "base/shared_bytes.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace arima {
namespace {

TEST(SharedBytes, EmptyByDefault) {
  SharedBytes none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.view(), "");
  EXPECT_EQ(none, SharedBytes::Copy(""));
}

TEST(SharedBytes, CopiesShareTheSameBlock) {
  SharedBytes a = SharedBytes::Copy("a value long enough to live on the heap");
  SharedBytes b = a;
  EXPECT_EQ(a.view().data(), b.view().data());
  EXPECT_EQ(a.size(), 39u);
}

TEST(SharedBytes, ShortStringsStayWhereTheyAre) {
  // A short std::string keeps its bytes inside itself: the view must not point into a moved one.
  SharedBytes a = SharedBytes::Take(std::string("ab"));
  SharedBytes b = std::move(a);
  SharedBytes c = b;
  b = SharedBytes();
  EXPECT_EQ(c.view(), "ab");
}

TEST(SharedBytes, AViewKeepsItsOwnerAlive) {
  auto owner = std::make_shared<const std::string>("head:payload:tail");
  std::weak_ptr<const std::string> watch = owner;
  SharedBytes payload = SharedBytes::Inside(owner, std::string_view(*owner).substr(5, 7));
  owner.reset();
  EXPECT_EQ(payload.view(), "payload");
  EXPECT_FALSE(watch.expired());
  payload = SharedBytes();
  EXPECT_TRUE(watch.expired());
}

TEST(SharedBytes, ComparesByContent) {
  EXPECT_EQ(SharedBytes::Copy("same"), SharedBytes::Take("same"));
  EXPECT_FALSE(SharedBytes::Copy("one") == SharedBytes::Copy("two"));
  EXPECT_FALSE(SharedBytes::Copy("one") == SharedBytes::Copy("one\n"));
}

}  // namespace
}  // namespace arima
