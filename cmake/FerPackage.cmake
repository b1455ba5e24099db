# cpack -G DEB: the packages `fer` (the program) and `libfer-dev` (headers and libraries), from the install components
# `program` and `development`. The preset `package` builds for them.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "The fer authors")
set(CPACK_PACKAGE_CONTACT "The fer authors <fer@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Facial expression recognition")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL program development)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)

set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME fer)
set(CPACK_COMPONENT_PROGRAM_DESCRIPTION "The command fer trains, evaluates and runs a network that recognises facial
expressions in pictures, videos and before a camera. It comes with weights.")
set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libfer-dev)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION "Headers, static libraries and the CMake package of the framework under the
command fer: tensors, gradients, layers, training, and the model.")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
# Users of a static library must link the libraries that it was built with.
set(depends "g++, libhwy-dev, libzip-dev, zlib1g-dev, libmd-dev")
foreach(library "DLIB;libdlib-dev" "JPEG;libjpeg-dev" "WEBP;libwebp-dev" "TIFF;libtiff-dev")
  list(GET library 0 name)
  list(GET library 1 package)
  if(FER_HAVE_${name})
    string(APPEND depends ", ${package}")
  endif()
endforeach()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${depends}")
include(CPack)
