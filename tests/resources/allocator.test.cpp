#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <new>
#include <scoped_allocator>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;

using buffers::allocator;
using buffers::bump_resource;
using buffers::slab_resource;

using resources = boost::mpl::list<bump_resource, slab_resource>;

template <class T, class R>
using vector_on = std::vector<T, allocator<T, R>>;
template <class R>
using string_on = std::basic_string<char, std::char_traits<char>, allocator<char, R>>;

BOOST_AUTO_TEST_SUITE(typed_allocator)

BOOST_AUTO_TEST_CASE_TEMPLATE(vectors, R, resources) {
  R buffer;
  {
    vector_on<int, R> numbers({1, 2, 3}, buffer);
    BOOST_TEST(buffer.owns(numbers.data()));
    for (int i = 4; i <= 1000; ++i) numbers.push_back(i);
    BOOST_TEST(numbers[0] == 1);
    BOOST_TEST(numbers[999] == 1000);
    BOOST_TEST(buffer.owns(&numbers[999]));
  }
  BOOST_TEST(buffer.used() < buffer.peak());
}

BOOST_AUTO_TEST_CASE_TEMPLATE(node_containers, R, resources) {
  R buffer;
  using entry = std::pair<const int, int>;
  std::map<int, int, std::less<>, allocator<entry, R>> ordered(buffer);
  std::unordered_map<int, int, std::hash<int>, std::equal_to<>, allocator<entry, R>> hashed(buffer);
  std::list<int, allocator<int, R>> listed(buffer);
  for (int i = 0; i < 200; ++i) {
    ordered[i] = i * i;
    hashed[i] = i * i;
    listed.push_back(i);
  }
  for (int i = 0; i < 200; i += 3) {
    ordered.erase(i);
    hashed.erase(i);
  }
  BOOST_TEST(ordered.at(199) == 199 * 199);
  BOOST_TEST(hashed.at(199) == 199 * 199);
  BOOST_TEST(buffer.owns(&listed.back()));
  BOOST_TEST(buffer.owns(&ordered.at(1)));
}

BOOST_AUTO_TEST_CASE_TEMPLATE(elements_get_the_same_resource, R, resources) {
  R buffer;
  vector_on<string_on<R>, R> words(buffer);
  words.emplace_back("a string that is too long for the object itself");
  words.resize(2);
  BOOST_TEST(words[0].get_allocator().resource() == &buffer);
  BOOST_TEST(words[1].get_allocator().resource() == &buffer);
  BOOST_TEST(buffer.owns(words[0].data()));
}

BOOST_AUTO_TEST_CASE(stays_with_its_container) {
  slab_resource a, b;
  using traits = std::allocator_traits<allocator<int, slab_resource>>;
  static_assert(!traits::propagate_on_container_copy_assignment::value);
  static_assert(!traits::propagate_on_container_move_assignment::value);
  static_assert(!traits::propagate_on_container_swap::value);
  vector_on<int, slab_resource> on_a({1, 2, 3}, a), on_b(b);
  on_b = on_a;
  BOOST_TEST(on_b.get_allocator().resource() == &b);
  on_b = std::move(on_a);
  BOOST_TEST(on_b.get_allocator().resource() == &b);
  BOOST_TEST(b.owns(on_b.data()));
  BOOST_TEST(on_b.size() == 3u);
}

BOOST_AUTO_TEST_CASE(equal_when_the_resource_is_one) {
  slab_resource a, b;
  const allocator<int, slab_resource> on_a(a), also_on_a(&a), on_b(b);
  BOOST_CHECK(on_a == also_on_a);
  BOOST_CHECK(on_a != on_b);
  BOOST_CHECK((allocator<char, slab_resource>(on_a) == allocator<char, slab_resource>(a)));
  const allocator<long, slab_resource> longs_on_a(a), longs_on_b(b);
  BOOST_CHECK(on_a == longs_on_a && longs_on_a == on_a);
  BOOST_CHECK(on_a != longs_on_b && longs_on_b != on_a);
  BOOST_CHECK(on_a == &a && on_a != &b);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(too_many_elements, R, resources) {
  R buffer;
  allocator<int, R> ints(buffer);
  for (std::size_t count : {SIZE_MAX, SIZE_MAX / 4 + 1, SIZE_MAX / 4 + 2, SIZE_MAX / 8 + 1})
    BOOST_CHECK_THROW((void)ints.allocate(count), std::bad_array_new_length);
  BOOST_TEST(buffer.used() == 0u);
}

BOOST_AUTO_TEST_CASE(over_aligned_elements) {
  struct alignas(128) wide {
    char bytes[128];
  };
  slab_resource buffer;
  (void)buffer.allocate(1);
  vector_on<wide, slab_resource> wides(3, buffer);
  BOOST_TEST(reinterpret_cast<std::uintptr_t>(wides.data()) % 128 == 0u);
}

BOOST_AUTO_TEST_CASE(over_any_memory_resource) {
  buffers::test_resource memory;
  {
    std::vector<int, allocator<int, std::pmr::memory_resource>> numbers(
        {1, 2, 3}, static_cast<std::pmr::memory_resource*>(&memory));
    BOOST_TEST(memory.live_bytes() == 12u);
  }
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_SUITE_END()
