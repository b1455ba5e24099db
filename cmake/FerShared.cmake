# libfer.so: all floors as one shared library, which exports the symbols in libfer.map. With BUILD_SHARED_LIBS it is
# fer::fer and is installed; otherwise it is built only for the tests. The program and the tests of single floors use
# symbols that it does not export, so they are always linked statically.
set(by_default)
if(NOT BUILD_SHARED_LIBS AND NOT FER_BUILD_TESTS)
  set(by_default EXCLUDE_FROM_ALL)
endif()
add_library(fer_shared SHARED ${by_default})
get_property(components GLOBAL PROPERTY FER_COMPONENTS)
foreach(component IN LISTS components)
  target_sources(fer_shared PRIVATE $<TARGET_OBJECTS:fer_${component}>)
  target_link_libraries(fer_shared PRIVATE fer_${component})  # for the libraries that it needs
endforeach()
target_link_libraries(fer_shared INTERFACE fer_options PRIVATE fer_build_flags)
target_link_options(fer_shared PRIVATE LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/libfer.map
                    LINKER:-Bsymbolic-functions)
if(NOT FER_SANITIZE)  # whose functions the program brings
  target_link_options(fer_shared PRIVATE LINKER:--no-undefined)
endif()
set_target_properties(fer_shared PROPERTIES
  OUTPUT_NAME fer LINKER_LANGUAGE CXX LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/libfer.map
  VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
