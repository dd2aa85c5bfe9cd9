// What cppcheck takes the macros of Boost.Test for, which it cannot read.
#pragma once
#define BOOST_AUTO_TEST_SUITE(name, ...) namespace name {
#define BOOST_AUTO_TEST_SUITE_END() }
#define BOOST_AUTO_TEST_CASE(name, ...) static void name()
#define BOOST_FIXTURE_TEST_CASE(name, fixture, ...) struct name : fixture { void run(); }; void name::run()
#define BOOST_AUTO_TEST_CASE_TEMPLATE(name, type, types) template <class type> static void name()
#define BOOST_DATA_TEST_CASE(name, data, ...) template <class sample_type> static void name(sample_type sample)
#define BOOST_TEST_CONTEXT(text) if (true)
#define BOOST_CHECK_THROW(statement, type) do { statement; } while (false)
#define BOOST_CHECK_NO_THROW(statement) do { statement; } while (false)
#define BOOST_REQUIRE_NO_THROW(statement) do { statement; } while (false)
#define BOOST_CHECK_EXCEPTION(statement, type, holds) do { statement; } while (false)
