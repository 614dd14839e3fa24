// Prints the answer of ShowUsageData that the official Go SDK reads, as JSON.
package main

import (
	"encoding/json"
	"log"
	"os"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/region"
	metastudio "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/metastudio/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/metastudio/v1/model"
)

func main() {
	endpoint, accessKey, secretKey, project, start, end := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6]
	credentials, err := basic.NewCredentialsBuilder().WithAk(accessKey).WithSk(secretKey).WithProjectId(project).SafeBuild()
	if err != nil {
		log.Fatal(err)
	}
	http, err := metastudio.MetaStudioClientBuilder().
		WithRegion(region.NewRegion("simulated", endpoint)).WithCredential(credentials).SafeBuild()
	if err != nil {
		log.Fatal(err)
	}
	limit := int32(1000)
	response, err := metastudio.NewMetaStudioClient(http).ShowUsageData(
		&model.ShowUsageDataRequest{StartTime: start, EndTime: end, Limit: &limit})
	if err != nil {
		log.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(response); err != nil {
		log.Fatal(err)
	}
}
