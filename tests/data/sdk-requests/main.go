package main

import (
	"os"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	metastudio "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/metastudio/v1"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/metastudio/v1/model"
)

const project = "0123456789abcdef0123456789abcdef"

func client(token string) *metastudio.MetaStudioClient {
	credentials := basic.NewCredentialsBuilder().WithAk("EXAMPLEAK0000000001X").
		WithSk("ExampleSecretKey/NotReal+0000000000000001").WithProjectId(project).WithSecurityToken(token).Build()
	builder := metastudio.MetaStudioClientBuilder().WithEndpoint(os.Args[1]).WithCredential(credentials)
	return metastudio.NewMetaStudioClient(builder.Build())
}

func text(value string) *string { return &value }

func number(value int32) *int32 { return &value }

func must[T any](answer T, err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	must(client("").ShowUsageData(&model.ShowUsageDataRequest{
		StartTime: "2025-11-01T00:00:00Z", EndTime: "2025-11-08T00:00:00+08:00", Limit: number(1000), Offset: number(0),
	}))
	must(client("").ShowUsageData(&model.ShowUsageDataRequest{
		StartTime: "2025-11-01T00:00:00Z", EndTime: "2025-11-08T00:00:00Z",
		UserId: text("u 1&=/+~*'()用户"), ResourceType: text(""), XAppUserId: text("app user-1"), XProjectId: text(project),
	}))
	must(client("a/token+of==many.parts").ShowUsageData(&model.ShowUsageDataRequest{
		StartTime: "2025-11-01T00:00:00Z", EndTime: "2025-11-08T00:00:00Z",
	}))
	must(client("").UpdateHotQuestion(&model.UpdateHotQuestionRequest{
		HotQuestionId: "q 1 问题", Body: &model.UpdateHotQuestionReq{HotQuestion: text("多少钱？ <&>")},
	}))
}
