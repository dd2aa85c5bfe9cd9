// The standard containers on every resource, with each allocation from upstream failing in its turn.
#include <unistd.h>

#include <atomic>
#include <boost/core/demangle.hpp>
#include <boost/mpl/list.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <memory_resource>
#include <ostream>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "contract/table.hpp"

namespace {

const auto resources = boost::unit_test::data::make(table());

/// Runs `code` on a fresh resource of that kind until upstream lets it; says how often that was.
template <class F>
std::size_t runs(const entry& e, F code) {
  return buffers::exception_test_loop([&](std::pmr::memory_resource& upstream) {
    const auto of = e.make(128 * 1024, &upstream);
    code(&of->base());
  });
}

const std::string text = "a string that is too long for the object itself";

}  // namespace

BOOST_AUTO_TEST_SUITE(containers)

BOOST_DATA_TEST_CASE(vector, resources, e) {
  BOOST_TEST(runs(e, [](std::pmr::memory_resource* memory) {
               std::pmr::vector<int> numbers(memory);
               for (int i = 0; i < 1000; ++i) numbers.push_back(i);
               for (int i = 0; i < 1000; ++i) BOOST_REQUIRE(numbers[static_cast<std::size_t>(i)] == i);
               numbers.shrink_to_fit();
             }) >= 1u);
}

BOOST_DATA_TEST_CASE(vector_of_strings, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::vector<std::pmr::string> words(memory);
    for (int i = 0; i < 50; ++i) words.emplace_back(text);
    words.erase(words.begin(), words.begin() + 25);
    for (const std::pmr::string& word : words) {
      BOOST_REQUIRE(word == text.c_str());
      BOOST_REQUIRE(word.get_allocator().resource() == memory);
    }
  });
}

BOOST_DATA_TEST_CASE(string, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::string all(memory);
    for (int i = 0; i < 100; ++i) all += text;
    BOOST_REQUIRE(all.size() == 100 * text.size());
    BOOST_REQUIRE(all.ends_with(text));
  });
}

BOOST_DATA_TEST_CASE(list, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::list<int> numbers(memory);
    for (int i = 0; i < 100; ++i) i % 2 == 0 ? numbers.push_back(i) : numbers.push_front(i);
    numbers.remove_if([](int i) { return i % 3 == 0; });
    numbers.sort();
    BOOST_REQUIRE(numbers.front() == 1);
    BOOST_REQUIRE(numbers.back() == 98);
    BOOST_REQUIRE(numbers.size() == 66u);
  });
}

BOOST_DATA_TEST_CASE(map, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::map<int, std::pmr::string> words(memory);
    for (int i = 0; i < 60; ++i) words.try_emplace(i * 37 % 60, text);
    for (int i = 0; i < 60; i += 2) words.erase(i);
    BOOST_REQUIRE(words.size() == 30u);
    BOOST_REQUIRE(words.at(59) == text.c_str());
  });
}

BOOST_DATA_TEST_CASE(unordered_map, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::unordered_map<int, int> squares(memory);
    for (int i = 0; i < 200; ++i) squares[i] = i * i;
    for (int i = 0; i < 200; i += 2) squares.erase(i);
    BOOST_REQUIRE(squares.size() == 100u);
    BOOST_REQUIRE(squares.at(199) == 199 * 199);
  });
}

BOOST_DATA_TEST_CASE(deque, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::deque<int> numbers(memory);
    for (int i = 0; i < 500; ++i) {
      numbers.push_back(i);
      numbers.push_front(-i);
      if (i % 4 == 0) numbers.pop_front();
    }
    BOOST_REQUIRE(numbers.back() == 499);
    BOOST_REQUIRE(numbers.size() == 875u);
  });
}

BOOST_DATA_TEST_CASE(the_other_node_containers, resources, e) {
  runs(e, [](std::pmr::memory_resource* memory) {
    std::pmr::forward_list<int> list(memory);
    std::pmr::set<int> set(memory);
    std::pmr::multiset<int> bag(memory);
    std::pmr::multimap<int, std::pmr::string> words(memory);
    std::pmr::unordered_set<int> hashed(memory);
    std::pmr::unordered_multiset<int> hashed_bag(memory);
    std::pmr::unordered_multimap<int, int> hashed_pairs(memory);
    for (int i = 0; i < 12; ++i) {
      list.push_front(i);
      set.insert(i % 6);
      bag.insert(i % 6);
      words.emplace(i % 3, text);
      hashed.insert(i % 6);
      hashed_bag.insert(i % 6);
      hashed_pairs.emplace(i % 6, i);
    }
    list.reverse();
    words.erase(0);
    hashed_pairs.erase(5);
    BOOST_REQUIRE(list.front() == 0);
    BOOST_REQUIRE(set.size() + bag.size() == 18u);
    BOOST_REQUIRE(words.size() == 8u);
    BOOST_REQUIRE(words.begin()->second == text.c_str());
    BOOST_REQUIRE(hashed.size() + hashed_bag.size() + hashed_pairs.size() == 28u);
  });
}

BOOST_DATA_TEST_CASE(each_allocation_from_upstream_does_fail_in_the_loop, resources, e) {
  const auto code = [](std::pmr::memory_resource* memory) {
    std::pmr::vector<int> numbers(10'000, 1, memory);
    BOOST_REQUIRE(numbers.back() == 1);
  };
  buffers::test_resource upstream;
  const auto of = e.make(128 * 1024, &upstream);
  code(&of->base());
  BOOST_TEST(runs(e, code) == upstream.allocations() + 1);
}

BOOST_AUTO_TEST_SUITE_END()
