#include "base/strong_int.h"

#include <gtest/gtest.h>

#include <concepts>
#include <cstdint>
#include <sstream>
#include <type_traits>
#include <unordered_set>

namespace arima {
namespace {

using Apple = StrongInt<struct AppleTag>;
using Pear = StrongInt<struct PearTag>;

// What must not compile is the point of the type.
static_assert(!std::is_convertible_v<uint64_t, Apple>);
static_assert(!std::is_convertible_v<Apple, uint64_t>);
static_assert(!std::is_convertible_v<Apple, Pear>);
static_assert(!std::is_constructible_v<Apple, Pear>);
static_assert(!std::is_convertible_v<Apple, bool>);
template <class A, class B>
concept Comparable = requires(A a, B b) { a == b; };
template <class A, class B>
concept Addable = requires(A a, B b) { a + b; };
static_assert(Comparable<Apple, Apple> && !Comparable<Apple, Pear> && !Comparable<Apple, uint64_t>);
static_assert(Addable<Apple, uint64_t> && !Addable<Apple, Apple> && !Addable<Apple, Pear>);
static_assert(std::same_as<decltype(Apple(3) - Apple(1)), uint64_t>);
static_assert(std::same_as<decltype(Apple(3) - uint64_t{1}), Apple>);
static_assert(sizeof(Apple) == sizeof(uint64_t) && std::is_trivially_copyable_v<Apple>);

TEST(StrongInt, StartsAtZeroWhichIsFalse) {
  Apple none;
  EXPECT_EQ(none.value, 0u);
  EXPECT_FALSE(none);
  EXPECT_TRUE(Apple(1));
}

TEST(StrongInt, OrdersAsItsValue) {
  EXPECT_LT(Apple(1), Apple(2));
  EXPECT_GE(Apple(2), Apple(2));
  EXPECT_GT(Apple(UINT64_MAX), Apple(0));
}

TEST(StrongInt, MovesByCountsAndMeasuresDistances) {
  Apple a(5);
  EXPECT_EQ(a + 3, Apple(8));
  EXPECT_EQ(a - 3, Apple(2));
  EXPECT_EQ(Apple(8) - a, 3u);
  EXPECT_EQ(++a, Apple(6));
}

TEST(StrongInt, PrintsAndHashesAsItsValue) {
  std::ostringstream out;
  out << Apple(42);
  EXPECT_EQ(out.str(), "42");
  std::unordered_set<Apple> set{Apple(1), Apple(1), Apple(2)};
  EXPECT_EQ(set.size(), 2u);
}

}  // namespace
}  // namespace arima
